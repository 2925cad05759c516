package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg/draw"
)

// A grid is faint lines behind a plot, at its labelled ticks.
type grid struct{ vertical bool }

func (g grid) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	line := draw.LineStyle{Color: faint, Width: 0.5}
	for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if !tick.IsMinor() {
			c.StrokeLine2(line, c.Min.X, toY(tick.Value), c.Max.X, toY(tick.Value))
		}
	}
	if !g.vertical {
		return
	}
	for _, tick := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if !tick.IsMinor() {
			c.StrokeLine2(line, toX(tick.Value), c.Min.Y, toX(tick.Value), c.Max.Y)
		}
	}
}

// logTicks are at 1, 2 and 5 times the powers of 10, with labels.
func logTicks(label func(float64) string) plot.Ticker {
	return plot.TickerFunc(func(least, most float64) []plot.Tick {
		var ticks []plot.Tick
		for decade := 1e-6; decade <= most; decade *= 10 {
			for _, factor := range []float64{1, 2, 5} {
				if value := factor * decade; value >= least*0.999 && value <= most*1.001 {
					ticks = append(ticks, plot.Tick{Value: value, Label: label(value)})
				}
			}
		}
		return ticks
	})
}

// logRange returns the ends of a logarithmic axis for values from least to most: some room beyond them and, if too few
// ticks are that near, the next ticks.
func logRange(least, most float64) (low, high float64) {
	low, high = least/1.15, most*1.15
	ticks := logTicks(func(float64) string { return "" })
	if len(ticks.Ticks(low, high)) >= 2 {
		return low, high
	}
	below, above := ticks.Ticks(least/10, low), ticks.Ticks(high, most*10)
	return below[len(below)-1].Value, above[0].Value
}

// fewTicks are about four from 0, with short labels.
type fewTicks struct{}

func (fewTicks) Ticks(_, most float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, factor := range []float64{0.2, 0.25, 0.5, 1, 2} {
		if most/(step*factor) <= 5 {
			step *= factor
			break
		}
	}
	var ticks []plot.Tick
	for i := 0.0; i*step <= most; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: round(i * step)})
	}
	return ticks
}

// round writes a round number, 2.5M.
func round(value float64) string {
	unit := ""
	switch {
	case value >= 1e6:
		value, unit = value/1e6, "M"
	case value >= 1e3:
		value, unit = value/1e3, "k"
	}
	return strconv.FormatFloat(value, 'g', 3, 64) + unit
}
