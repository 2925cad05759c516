package report

import (
	"fmt"
	"reflect"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// measured is what was recorded on one machine, from one source or several.
type measured struct {
	sources []Source
	runs    []record.Run // those that count
	refused []refusal    // the others
}

// A refusal is a run that does not count, and why.
type refusal struct {
	run   record.Run
	fault string
}

// split parts what was measured in virtual machines from the rest.
func split(sources []Source) (host, virtual measured, err error) {
	for _, source := range sources {
		part := &host
		if source.Machine.Profile == record.ProfileVM {
			part = &virtual
		}
		if err := part.add(source); err != nil {
			return host, virtual, err
		}
	}
	return host, virtual, nil
}

func (m *measured) add(source Source) error {
	if len(m.sources) > 0 {
		if first := m.sources[0]; !reflect.DeepEqual(lasting(first.Machine), lasting(source.Machine)) {
			return fmt.Errorf("%s and %s differ in machine, profile or versions: make a report of each", first.Name, source.Name)
		}
	}
	m.sources = append(m.sources, source)
	for _, run := range source.Runs {
		if fault := source.Machine.Fault(run); fault != "" {
			m.refused = append(m.refused, refusal{run, fault})
		} else {
			m.runs = append(m.runs, run)
		}
	}
	return nil
}

// lasting returns m without what differs between two starts of the kit on one machine.
func lasting(m record.Machine) record.Machine {
	m.Time, m.Arguments, m.LoadAverage, m.Limits = "", nil, "", nil
	return m
}

// all returns the runs that count and those that do not, in the order of the sources.
func (m measured) all() []record.Run {
	var runs []record.Run
	for _, source := range m.sources {
		runs = append(runs, source.Runs...)
	}
	return runs
}

// servers returns the names of all servers, in the order in which they first come.
func servers(parts ...measured) []string {
	var names []string
	seen := map[string]bool{}
	for _, part := range parts {
		for _, run := range part.all() {
			if !seen[run.Server] {
				seen[run.Server] = true
				names = append(names, run.Server)
			}
		}
	}
	return names
}

// A group is the rows that differ in their server alone, so that they can be compared.
type group struct {
	load        string
	connections int
	depth       int
	rows        []record.Row
}

// name tells the group from the others of its load.
func (g group) name() string {
	text := thousands(float64(g.connections), 0) + " connections"
	if g.depth > 1 {
		text += fmt.Sprintf(", %d requests at once", g.depth)
	}
	return text
}

// groups returns the groups of a load, in the order in which they first come, with rows of which no run counts too.
func (m measured) groups(load string) []group {
	var groups []group
	at := map[[2]int]int{}
	for _, row := range record.Rows(m.all()) {
		if row.Load != load {
			continue
		}
		key := [2]int{row.Connections, row.Depth}
		if _, ok := at[key]; !ok {
			at[key] = len(groups)
			groups = append(groups, group{load: load, connections: row.Connections, depth: row.Depth})
		}
		groups[at[key]].rows = append(groups[at[key]].rows, row)
	}
	return groups
}

// rounds returns how many runs of a row count, and how many there are.
func (m measured) rounds(row record.Row) (counted, made int) {
	for _, run := range m.runs {
		if run.Row() == row {
			counted++
		}
	}
	for _, run := range m.all() {
		if run.Row() == row {
			made++
		}
	}
	return counted, made
}

// spread returns a figure's spread over the runs of a row that count. It is not ok if there are none, or if they do not
// know the figure.
func (m measured) spread(row record.Row, f figure) (s record.Spread, ok bool) {
	if counted, _ := m.rounds(row); counted == 0 {
		return s, false
	}
	s = record.SpreadOf(m.runs, row, f.of)
	return s, s.Min == s.Min // not NaN, which would sort first
}
