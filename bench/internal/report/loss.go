package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// Servers that are compared, as runs name them.
const (
	reference = "kourier-fast" // whose figures all others are given as multiples of
	handler   = "kourier-handler"
)

// goServers are those that Handler is compared with by itself.
var goServers = []string{"nethttp", "fasthttp"}

func isKourier(server string) bool { return strings.HasPrefix(server, "kourier") }

// A loss is a figure of a group in which one of the peers is ahead of all of ours.
type loss struct {
	group group
	figure
	ours  result
	ahead []result // the best one first
}

// A result is what a server reached.
type result struct {
	server string
	record.Spread
}

// close says whether what a repetition might bring can turn a loss: the ranges of both have something in common.
func (l loss) close() bool {
	best := l.ahead[0]
	return l.ours.Min <= best.Max && best.Min <= l.ours.Max
}

// losses returns those of all loads, by median.
func (m measured) losses(ours, peer func(server string) bool) []loss {
	var losses []loss
	for _, s := range sections {
		for _, g := range m.groups(s.load) {
			for _, f := range s.figures {
				if l := m.compare(g, f, ours, peer); len(l.ahead) > 0 {
					losses = append(losses, l)
				}
			}
		}
	}
	return losses
}

func (m measured) compare(g group, f figure, ours, peer func(server string) bool) loss {
	l := loss{group: g, figure: f}
	for _, row := range g.rows {
		s, ok := m.spread(row, f)
		if ok && ours(row.Server) && (l.ours.server == "" || f.order.beats(s.Median, l.ours.Median)) {
			l.ours = result{row.Server, s}
		}
	}
	if l.ours.server == "" {
		return l
	}
	for _, row := range g.rows {
		s, ok := m.spread(row, f)
		if ok && peer(row.Server) && f.order.beats(s.Median, l.ours.Median) {
			l.ahead = append(l.ahead, result{row.Server, s})
		}
	}
	slices.SortStableFunc(l.ahead, func(a, b result) int {
		switch {
		case f.order.beats(a.Median, b.Median):
			return -1
		case f.order.beats(b.Median, a.Median):
			return 1
		}
		return 0
	})
	return l
}

// writeLosses adds where kourier is not first, and where its Handler is behind other servers for Go.
func (m measured) writeLosses(out *strings.Builder) {
	fmt.Fprint(out, "## Where kourier loses\n\nBy medians of the runs that count. Where the ranges of least and greatest overlap, "+
		"a repetition may say otherwise.\n")
	m.writeAbsent(out)
	peer := func(server string) bool { return !isKourier(server) }
	if losses := m.losses(isKourier, peer); len(losses) > 0 {
		fmt.Fprint(out, "\nkourier is not first in these rows:\n\n")
		writeLossTable(out, losses)
	} else {
		fmt.Fprint(out, "\nkourier is first in every row.\n")
	}
	all := servers(m)
	is := func(name string) func(string) bool { return func(server string) bool { return server == name } }
	for _, other := range goServers {
		switch losses := m.losses(is(handler), is(other)); {
		case !slices.Contains(all, handler) || !slices.Contains(all, other):
		case len(losses) > 0:
			fmt.Fprintf(out, "\n`%s` is behind `%s` in these rows:\n\n", handler, other)
			writeLossTable(out, losses)
		default:
			fmt.Fprintf(out, "\n`%s` is ahead of `%s` in every row.\n", handler, other)
		}
	}
	fmt.Fprintln(out)
}

// writeAbsent says which servers cannot be ahead, since no run of theirs counts.
func (m measured) writeAbsent(out *strings.Builder) {
	var absent []string
	for _, row := range record.Rows(m.all()) {
		if counted, _ := m.rounds(row); counted == 0 {
			g := group{connections: row.Connections, depth: row.Depth}
			absent = append(absent, fmt.Sprintf("`%s` (%s, %s)", row.Server, row.Load, g.name()))
		}
	}
	if len(absent) > 0 {
		fmt.Fprintf(out, "Not compared, since no run of theirs counts: %s.\n", strings.Join(absent, "; "))
	}
}

func writeLossTable(out *strings.Builder, losses []loss) {
	fmt.Fprint(out, "| load | figure | ahead | kourier | kourier by the first | ranges |\n|---|---|---|---|---|---|\n")
	for _, l := range losses {
		var ahead []string
		for _, each := range l.ahead {
			ahead = append(ahead, "`"+each.server+"` "+number(each.Median))
		}
		ranges := "apart"
		if l.close() {
			ranges = "overlap"
		}
		fmt.Fprintf(out, "| %s, %s | %s | %s | `%s` %s | %s | %s |\n", l.group.load, l.group.name(), l.name,
			strings.Join(ahead, ", "), l.ours.server, number(l.ours.Median), ratio(l.ours.Median, l.ahead[0].Median), ranges)
	}
}

// ratio writes a by b, or a dash where there is none.
func ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return number(a/b) + "×"
}
