package report

import (
	"fmt"

	"github.com/kourier-go/kourier/bench/internal/record"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// barPanels show a figure of the load throughput: a panel for each number of requests at once, since they differ too much
// for one scale, and in it a group of bars for each number of connections.
func barPanels(m measured, f figure, look look) []panel {
	byDepth := map[int][]group{}
	var depths []int
	for _, g := range m.groups(record.LoadThroughput) {
		if byDepth[g.depth] == nil {
			depths = append(depths, g.depth)
		}
		byDepth[g.depth] = append(byDepth[g.depth], g)
	}
	var panels []panel
	for _, depth := range depths {
		bars := barsOf(m, f, byDepth[depth], look)
		if bars.most() == 0 {
			continue
		}
		title := "1 request at once on a connection"
		if depth > 1 {
			title = fmt.Sprintf("%d requests at once on a connection", depth)
		}
		p := newPlot(title, "", f.name)
		p.Y.Tick.Marker = fewTicks{}
		p.Y.Min, p.Y.Max = 0, bars.most()*1.12
		p.X.Min, p.X.Max = -0.5, float64(len(bars.groups))-0.5
		p.X.Tick.Marker = plot.ConstantTicks(bars.ticks())
		p.X.Tick.Length, p.X.Padding = 3, 0
		p.Add(grid{}, bars)
		panels = append(panels, panel{170, func(c draw.Canvas) { p.Draw(draw.Crop(c, 0, 0, 0, -10)) }})
	}
	if len(panels) > 0 {
		panels = append([]panel{legendPanel(servers(m), look)}, panels...)
	}
	return panels
}

// bars are groups of bars, each with its range and its number.
type bars struct {
	groups []barGroup
	look   look
}

type barGroup struct {
	name    string
	results []result
}

func barsOf(m measured, f figure, groups []group, look look) bars {
	b := bars{look: look}
	for _, g := range groups {
		one := barGroup{name: thousands(float64(g.connections), 0) + " connections"}
		for _, row := range g.rows {
			if s, ok := m.spread(row, f); ok {
				one.results = append(one.results, result{row.Server, s})
			}
		}
		b.groups = append(b.groups, one)
	}
	return b
}

func (b bars) most() float64 {
	most := 0.0
	for _, group := range b.groups {
		for _, each := range group.results {
			most = max(most, each.Max)
		}
	}
	return most
}

func (b bars) ticks() []plot.Tick {
	var ticks []plot.Tick
	for i, group := range b.groups {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: group.name})
	}
	return ticks
}

func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	number := textStyle(7)
	number.XAlign, number.YAlign = draw.XCenter, draw.YBottom
	whisker := draw.LineStyle{Color: ink, Width: 0.7}
	for i, group := range b.groups {
		step := (toX(float64(i)+0.45) - toX(float64(i)-0.45)) / vg.Length(max(1, len(group.results)))
		step = min(step, 40)
		left := toX(float64(i)) - step*vg.Length(len(group.results))/2
		for j, each := range group.results {
			at := left + step*vg.Length(j)
			c.FillPolygon(b.look[each.server].color, rectangle(vg.Rectangle{
				Min: vg.Point{X: at + step*0.1, Y: c.Min.Y}, Max: vg.Point{X: at + step*0.9, Y: toY(each.Median)}}))
			middle := at + step/2
			c.StrokeLine2(whisker, middle, toY(each.Min), middle, toY(each.Max))
			c.FillText(number, vg.Point{X: middle, Y: toY(each.Max) + 1}, short(each.Median))
		}
	}
}

// short writes a number for which there is little room.
func short(value float64) string {
	switch {
	case value >= 1e6:
		return thousands(value/1e6, 1) + "M"
	case value >= 1e3:
		return thousands(value/1e3, 0) + "k"
	}
	return number(value)
}

// legendPanel names the colours.
func legendPanel(servers []string, look look) panel {
	return panel{18, func(c draw.Canvas) {
		const square = vg.Length(8)
		words := textStyle(9)
		x, y := c.Min.X+30, (c.Min.Y+c.Max.Y)/2
		for _, server := range servers {
			c.FillPolygon(look[server].color, rectangle(vg.Rectangle{
				Min: vg.Point{X: x, Y: y - square/2}, Max: vg.Point{X: x + square, Y: y + square/2}}))
			x += square + 4
			c.FillText(words, vg.Point{X: x, Y: y}, server)
			x += words.Width(server) + 14
		}
	}}
}
