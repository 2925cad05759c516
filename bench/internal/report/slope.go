package report

import (
	"fmt"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// publishedConnections is the number of connections of the published benchmark.
const publishedConnections = 500_000

// writeSlopes adds the lines that are fitted to memory over connections.
func (m measured) writeSlopes(out *strings.Builder) {
	var table strings.Builder
	for _, each := range []struct {
		load, name string
		figure
	}{
		{record.LoadMemory, "VmHWM, memory", hwm},
		{record.LoadMemory, "VmPeak, memory", peak},
		{record.LoadMemory, "RSS idle, memory", idleRSS},
		{record.LoadIdle, "RSS idle, idle", idleRSS},
	} {
		for _, server := range servers(m) {
			line := record.Fit(m.runs, each.load, server, each.of)
			if line.Points < 2 {
				continue
			}
			if line.Slope <= 0 {
				fmt.Fprintf(&table, "| %s | `%s` | – | %d | – | does not grow with them |\n", each.name, server, line.Points)
				continue
			}
			how := "measured"
			if line.MaxX < publishedConnections {
				how = "extrapolated beyond " + thousands(float64(line.MaxX), 0)
			}
			fmt.Fprintf(&table, "| %s | `%s` | %s | %d | %s MB | %s |\n", each.name, server,
				thousands(line.Slope*mega, 0), line.Points, number(line.At(publishedConnections)), how)
		}
	}
	if table.Len() == 0 {
		return
	}
	fmt.Fprintf(out, "## Bytes a connection\n\n"+
		"Straight lines, by least squares, through the medians over the number of connections. Where nothing was measured with\n"+
		"%s connections, what a line says there is an extrapolation and no measurement.\n\n"+
		"| figure | server | bytes a connection | points | at %[1]s | |\n|---|---|---|---|---|---|\n%s\n",
		thousands(publishedConnections, 0), table.String())
}
