package report

import (
	"fmt"

	"github.com/kourier-go/kourier/bench/internal/record"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// latencyPanels show the distribution of latency under the load open.
func latencyPanels(m measured, look look) []panel {
	var panels []panel
	for _, g := range m.groups(record.LoadOpen) {
		title := fmt.Sprintf("Latency from when a request was due: %s requests/s, %s",
			thousands(float64(m.rate(g.load)), 0), g.name())
		p := newPlot(title, "percentile", "latency, logarithmic")
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = logTicks(milliseconds)
		percentiles := []figure{p50, p90, p99, p999}
		p.X.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "50"}, {Value: 1, Label: "90"}, {Value: 2, Label: "99"}, {Value: 3, Label: "99.9"}}
		p.Add(grid{vertical: true})
		var labels endLabels
		for _, row := range g.rows {
			var points plotter.XYs
			for i, f := range percentiles {
				if s, ok := m.spread(row, f); ok {
					points = append(points, plotter.XY{X: float64(i), Y: s.Median})
				}
			}
			if len(points) == 0 {
				continue
			}
			s := look[row.Server]
			p.Add(&plotter.Line{XYs: points, LineStyle: s.line(1.5)}, &plotter.Scatter{XYs: points, GlyphStyle: s.glyph(s.filled)})
			last := points[len(points)-1]
			labels = append(labels, endLabel{row.Server, s.color, last.X, last.Y})
		}
		if len(labels) == 0 {
			continue
		}
		p.Add(labels)
		p.X.Min, p.X.Max = -0.1, 3.05
		p.Y.Min, p.Y.Max = logRange(p.Y.Min, p.Y.Max)
		panels = append(panels, panel{300, func(c draw.Canvas) { p.Draw(draw.Crop(c, 0, -endLabelWidth, 0, -10)) }})
	}
	return panels
}

// milliseconds writes a time of ms.
func milliseconds(value float64) string {
	if value < 1 {
		return thousands(value*1000, 0) + " µs"
	}
	return thousands(value, 0) + " ms"
}
