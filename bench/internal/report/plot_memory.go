package report

import (
	"image/color"
	"math"

	"github.com/kourier-go/kourier/bench/internal/record"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// memoryPanels show memory over connections: under load, and idle after it.
func memoryPanels(host, virtual measured, look look) []panel {
	var panels []panel
	for _, each := range []struct {
		title string
		figure
	}{
		{"VmHWM, with a request in flight on each connection", hwm},
		{"RSS idle, after the load", idleRSS},
	} {
		m := memoryPlot{newPlot(each.title, "connections", ""), nil, look}
		m.fill(host, virtual, each.figure)
		if len(m.labels) > 0 {
			panels = append(panels, panel{300, m.draw})
		}
	}
	return panels
}

type memoryPlot struct {
	*plot.Plot
	labels endLabels
	look   look
}

func (m *memoryPlot) fill(host, virtual measured, f figure) {
	m.X.Scale, m.Y.Scale = plot.LogScale{}, plot.LogScale{}
	m.X.Tick.Marker = logTicks(func(n float64) string { return thousands(n, 0) })
	m.Y.Tick.Marker = logTicks(megabytes)
	m.Add(grid{vertical: true})
	extrapolated, inside := false, false
	for _, server := range servers(host, virtual) {
		s := m.look[server]
		real, vm := host.points(server, f), virtual.points(server, f)
		if len(real)+len(vm) == 0 {
			continue
		}
		end := plotter.XY{}
		if len(real) > 0 {
			m.Add(&plotter.Line{XYs: real, LineStyle: s.line(1.5)}, &plotter.Scatter{XYs: real, GlyphStyle: s.glyph(s.filled)})
			end = real[len(real)-1]
		}
		if beyond := host.extrapolation(server, f); len(beyond) > 0 {
			m.Add(&plotter.Line{XYs: beyond, LineStyle: dashed(s.color)})
			end = beyond[len(beyond)-1]
			extrapolated = true
		}
		if len(vm) > 0 {
			m.Add(&plotter.Scatter{XYs: vm, GlyphStyle: s.glyph(s.hollow)})
			if last := vm[len(vm)-1]; last.X >= end.X {
				end = last
			}
			inside = true
		}
		m.labels = append(m.labels, endLabel{server, s.color, end.X, end.Y})
	}
	if len(m.labels) == 0 {
		return
	}
	m.X.Min, m.X.Max = logRange(m.X.Min, m.X.Max)
	m.Y.Min, m.Y.Max = logRange(m.Y.Min, m.Y.Max)
	m.Add(m.labels)
	m.addKey(extrapolated, inside)
}

// addKey says what lines and points mean, where there are others than measured ones.
func (m *memoryPlot) addKey(extrapolated, inside bool) {
	m.Legend.Top, m.Legend.Left = true, true
	m.Legend.XOffs, m.Legend.YOffs, m.Legend.Padding = 10, -4, 3
	if !extrapolated && !inside {
		return
	}
	own := style{color: ink}
	m.Legend.Add("measured, median", &plotter.Scatter{GlyphStyle: own.glyph(draw.CircleGlyph{})})
	if inside {
		m.Legend.Add("measured in a virtual machine", &plotter.Scatter{GlyphStyle: own.glyph(draw.RingGlyph{})})
	}
	if extrapolated {
		m.Legend.Add("fitted line, extrapolated", &plotter.Line{LineStyle: dashed(ink)})
	}
}

func (m *memoryPlot) draw(c draw.Canvas) { m.Draw(draw.Crop(c, 0, -endLabelWidth, 0, -10)) }

func dashed(c color.RGBA) draw.LineStyle {
	return draw.LineStyle{Color: c, Width: 1, Dashes: []vg.Length{3, 3}}
}

// points are the medians of a figure of the load memory over connections.
func (m measured) points(server string, f figure) plotter.XYs {
	var points plotter.XYs
	for _, row := range record.Rows(m.runs) {
		if row.Load == record.LoadMemory && row.Server == server {
			if s, _ := m.spread(row, f); s.Median > 0 { // what is not has no place on a logarithmic axis
				points = append(points, plotter.XY{X: float64(row.Connections), Y: s.Median})
			}
		}
	}
	return points
}

// extrapolation is the fitted line from the last point to the published number of connections.
func (m measured) extrapolation(server string, f figure) plotter.XYs {
	line := record.Fit(m.runs, record.LoadMemory, server, f.of)
	if line.Points < 2 || line.MaxX >= publishedConnections || line.Slope <= 0 {
		return nil
	}
	const steps = 24 // a straight line is none on logarithmic axes
	var points plotter.XYs
	for i := range steps + 1 {
		n := float64(line.MaxX) * math.Pow(publishedConnections/float64(line.MaxX), float64(i)/steps)
		points = append(points, plotter.XY{X: n, Y: line.At0 + line.Slope*n})
	}
	return points
}

// megabytes writes a size of MB.
func megabytes(value float64) string {
	if value >= 1000 {
		return thousands(value/1000, 0) + " GB"
	}
	return thousands(value, 0) + " MB"
}
