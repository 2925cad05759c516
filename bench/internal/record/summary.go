package record

import (
	"cmp"
	"slices"
)

// Row names runs that differ in their round alone.
type Row struct {
	Load        string
	Connections int
	Depth       int
	Server      string
}

// Row returns the row of r.
func (r Run) Row() Row { return Row{r.Load, r.Connections, r.Depth, r.Server} }

// Rows returns the rows of runs in the order in which they first come.
func Rows(runs []Run) []Row {
	var rows []Row
	seen := map[Row]bool{}
	for _, run := range runs {
		if row := run.Row(); !seen[row] {
			seen[row] = true
			rows = append(rows, row)
		}
	}
	return rows
}

// Spread is the least, the median and the greatest of some figures.
type Spread struct{ Min, Median, Max float64 }

// SpreadOf returns the spread of one figure over the runs of a row, zeros if there are none. The median of an even
// number is the mean of the two in the middle.
func SpreadOf(runs []Run, row Row, figure func(Run) float64) Spread {
	var figures []float64
	for _, run := range runs {
		if run.Row() == row {
			figures = append(figures, figure(run))
		}
	}
	if len(figures) == 0 {
		return Spread{}
	}
	slices.SortFunc(figures, cmp.Compare[float64])
	last := len(figures) - 1
	return Spread{figures[0], (figures[last/2] + figures[(last+1)/2]) / 2, figures[last]}
}

// Line is a straight line through measured points: figure = At0 + Slope * connections.
type Line struct {
	At0, Slope float64
	Points     int // that it was fitted to
	MaxX       int // the greatest number of connections among them; what the line says beyond it is an extrapolation
}

// At returns the figure for a number of connections.
func (l Line) At(connections int) float64 { return l.At0 + l.Slope*float64(connections) }

// Fit fits a line, by least squares, to the medians of a figure over the numbers of connections at which load was put on
// server. With fewer than two numbers there is none: Points says so.
func Fit(runs []Run, load, server string, figure func(Run) float64) Line {
	var xs, ys []float64
	for _, row := range Rows(runs) {
		if row.Load == load && row.Server == server {
			xs = append(xs, float64(row.Connections))
			ys = append(ys, SpreadOf(runs, row, figure).Median)
		}
	}
	if len(xs) < 2 {
		return Line{Points: len(xs)}
	}
	meanX, meanY := mean(xs), mean(ys)
	var above, below float64
	for i := range xs {
		above += (xs[i] - meanX) * (ys[i] - meanY)
		below += (xs[i] - meanX) * (xs[i] - meanX)
	}
	slope := above / below
	return Line{At0: meanY - slope*meanX, Slope: slope, Points: len(xs), MaxX: int(slices.Max(xs))}
}

func mean(values []float64) float64 {
	var sum float64
	for _, value := range values {
		sum += value
	}
	return sum / float64(len(values))
}
