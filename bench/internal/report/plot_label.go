package report

import (
	"cmp"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// An endLabel names a line at its end.
type endLabel struct {
	text  string
	color color.Color
	x, y  float64 // the end, in the plot's coordinates
}

// endLabels draws names right of a plot, each at the height at which its line ends, or as near to it as there is room. A
// line that ends far from there has its name beside its end.
type endLabels []endLabel

// endLabelWidth is the room that a plot leaves for them.
const endLabelWidth = 96

func (labels endLabels) Plot(c draw.Canvas, p *plot.Plot) {
	const near, lead, far = vg.Length(7), vg.Length(14), vg.Length(60)
	toX, toY := p.Transforms(&c)
	var inside, outside endLabels
	for _, label := range labels {
		if toX(label.x) < c.Max.X-far {
			inside = append(inside, label)
		} else {
			outside = append(outside, label)
		}
	}
	for i, y := range inside.heights(c, toY) {
		c.FillText(textStyle(9), vg.Point{X: toX(inside[i].x) + near, Y: y}, inside[i].text)
	}
	for i, y := range outside.heights(c, toY) {
		line := draw.LineStyle{Color: outside[i].color, Width: 0.5}
		c.StrokeLine2(line, toX(outside[i].x)+4, toY(outside[i].y), c.Max.X+lead-2, y)
		c.FillText(textStyle(9), vg.Point{X: c.Max.X + lead, Y: y}, outside[i].text)
	}
}

// heights sorts labels by their height and returns where they go.
func (labels endLabels) heights(c draw.Canvas, toY func(float64) vg.Length) []vg.Length {
	const gap = 11
	slices.SortStableFunc(labels, func(a, b endLabel) int { return cmp.Compare(a.y, b.y) })
	heights := make([]vg.Length, len(labels))
	for i, label := range labels {
		heights[i] = toY(label.y)
	}
	spreadOut(heights, gap, c.Max.Y)
	return heights
}

// spreadOut moves rising heights so that they are at least gap apart and, if there is room, none is above top.
func spreadOut(heights []vg.Length, gap, top vg.Length) {
	for i := 1; i < len(heights); i++ {
		heights[i] = max(heights[i], heights[i-1]+gap)
	}
	for i := len(heights) - 1; i >= 0; i-- {
		heights[i] = min(heights[i], top)
		top = heights[i] - gap
	}
}
