package report

import (
	"fmt"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// published is what the published benchmark says of VmPeak with publishedConnections, in MB.
var published = []struct {
	server string
	peakMB float64
}{
	{"ancestor", 1261},
	{"hyper", 5975},
	{"net/http", 9802},
}

// writeVirtual adds what was measured in virtual machines: memory, since speed in them says nothing.
func (m measured) writeVirtual(out *strings.Builder) {
	rows := record.Rows(m.runs)
	if len(rows) == 0 {
		return
	}
	fmt.Fprint(out, "## In virtual machines\n\n"+
		"One process each. `memory`: one request in flight on each connection, then idle; every connection was answered before\n"+
		"the load, under it and after it. `idle`: one request on each, then idle. The processor may be emulated: memory is what it is elsewhere, speed is not and is left out.\n"+
		"Bytes a connection are what came on top of the server without connections.\n\n"+
		"| load | server | connections | VmPeak, MB | without connections | VmHWM, MB | bytes a connection | RSS idle, MB | bytes a connection, PSS |\n"+
		"|---|---|---|---|---|---|---|---|---|\n")
	reached := false
	for _, row := range rows {
		reached = reached || row.Connections == publishedConnections
		cell := func(of func(record.Run) float64) string {
			return number(record.SpreadOf(m.runs, row, of).Median)
		}
		fmt.Fprintf(out, "| %s | `%s` | %s | %s | %s | %s | %s | %s | %s |\n",
			row.Load, row.Server, thousands(float64(row.Connections), 0),
			cell(peak.of),
			cell(func(r record.Run) float64 { return float64(r.Start.Peak) / mega }),
			cell(hwm.of), cell(loadedPerConnection.of), cell(idleRSS.of),
			cell(func(r record.Run) float64 { return float64(r.Idle.PSS-r.Start.PSS) / float64(r.Connections) }))
	}
	if reached {
		for _, each := range published {
			fmt.Fprintf(out, "| memory | %s, as published | %s | %s | | | | | |\n",
				each.server, thousands(publishedConnections, 0), number(each.peakMB))
		}
	}
	if reached {
		fmt.Fprint(out, "\nWhat stands as published is from the run that the C++ server which kourier descends from is known for.\n")
	}
	fmt.Fprint(out, "\nVmPeak counts addresses that were reserved, touched or not; VmHWM is what has been resident.\n\n")
}
