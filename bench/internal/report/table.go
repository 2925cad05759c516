package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// writeTable adds the table of a load, if there is any run of it.
func (m measured) writeTable(out *strings.Builder, s section) {
	groups := m.groups(s.load)
	if len(groups) == 0 {
		return
	}
	figures := slices.DeleteFunc(slices.Clone(s.figures), func(f figure) bool { return !m.isKnown(groups, f) })
	fmt.Fprintf(out, "### %s\n\n%s", s.load, s.about)
	if rate := m.rate(s.load); rate != 0 {
		fmt.Fprintf(out, " The rate is %s requests/s.", thousands(float64(rate), 0))
	}
	if least, most := m.seconds(s.load); least != most {
		fmt.Fprintf(out, " Runs take %.0f to %.0f s.", least, most)
	} else if most != 0 {
		fmt.Fprintf(out, " Each run takes %.0f s.", most)
	}
	fmt.Fprint(out, "\n\n| | server | runs |")
	for _, f := range figures {
		fmt.Fprintf(out, " %s |", f.name)
	}
	fmt.Fprintf(out, "\n|---|---|---|%s\n", strings.Repeat("---|", len(figures)))
	for _, g := range groups {
		m.writeGroup(out, g, figures)
	}
	fmt.Fprintln(out)
}

func (m measured) writeGroup(out *strings.Builder, g group, figures []figure) {
	for i, row := range g.rows {
		name := ""
		if i == 0 {
			name = g.name()
		}
		counted, made := m.rounds(row)
		rounds := fmt.Sprint(counted)
		if counted < made {
			rounds += fmt.Sprintf(" of %d", made)
		}
		fmt.Fprintf(out, "| %s | `%s` | %s |", name, row.Server, rounds)
		for _, f := range figures {
			fmt.Fprintf(out, " %s |", m.cell(g, row, f))
		}
		fmt.Fprintln(out)
	}
}

// cell is one figure of one row: median, range, and how many times the reference's median that is. The best of a group
// is bold.
func (m measured) cell(g group, row record.Row, f figure) string {
	s, ok := m.spread(row, f)
	if !ok {
		return "–"
	}
	text := spreadText(s)
	if m.isFirst(g, row, f) {
		text = "**" + text + "**"
	}
	base := record.Row{Load: g.load, Connections: g.connections, Depth: g.depth, Server: reference}
	if first, ok := m.spread(base, f); ok && row != base && s.Median >= 0 && first.Median > 0 {
		text += " " + ratio(s.Median, first.Median)
	}
	return text
}

// isFirst says whether nobody in the group is ahead of a row, and somebody behind it.
func (m measured) isFirst(g group, row record.Row, f figure) bool {
	own, _ := m.spread(row, f)
	behind := false
	for _, other := range g.rows {
		s, ok := m.spread(other, f)
		if ok && f.order.beats(s.Median, own.Median) {
			return false
		}
		behind = behind || ok && f.order.beats(own.Median, s.Median)
	}
	return behind
}

// isKnown says whether any row knows a figure.
func (m measured) isKnown(groups []group, f figure) bool {
	for _, g := range groups {
		for _, row := range g.rows {
			if _, ok := m.spread(row, f); ok {
				return true
			}
		}
	}
	return false
}

// seconds returns what the shortest and the longest run of a load take, to the second; 0 where there is no such time.
func (m measured) seconds(load string) (least, most float64) {
	for _, run := range m.all() {
		seconds := math.Round(run.Seconds)
		if run.Load != load || seconds == 0 {
			continue
		}
		if most == 0 || seconds < least {
			least = seconds
		}
		most = max(most, seconds)
	}
	return least, most
}

// rate returns the requests a second that are due under a load, 0 where there is no such rate.
func (m measured) rate(load string) int {
	for _, run := range m.all() {
		if run.Load == load {
			return run.Rate
		}
	}
	return 0
}
