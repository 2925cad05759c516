package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// summarise prints the least, the median and the greatest of what matters in each row, and what the slopes of memory say
// about the number of connections of the published benchmark.
func summarise(w io.Writer, runs []record.Run) error {
	const mega = 1 << 20
	var table strings.Builder
	fmt.Fprintln(&table, "load\tconnections\tdepth\tserver\trequests/s\tCPU s/million\tp99 ms\tVmHWM MiB\tidle RSS MiB\terrors")
	for _, row := range record.Rows(runs) {
		spread := func(decimals int, figure func(record.Run) float64) string {
			s := record.SpreadOf(runs, row, figure)
			return fmt.Sprintf("%.*f (%.*f-%.*f)", decimals, s.Median, decimals, s.Min, decimals, s.Max)
		}
		fmt.Fprintf(&table, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f\n", row.Load, row.Connections, row.Depth, row.Server,
			spread(0, requestsPerSecond),
			spread(2, func(r record.Run) float64 { return r.CPUPerMillion().Total() }),
			spread(2, func(r record.Run) float64 { return r.Latency.P99 / 1000 }),
			spread(1, func(r record.Run) float64 { return float64(r.Loaded.HWM) / mega }),
			spread(1, func(r record.Run) float64 { return float64(r.Idle.RSS) / mega }),
			record.SpreadOf(runs, row, func(r record.Run) float64 { return float64(r.Errors.Total()) }).Max)
	}
	if err := printTable(w, table.String()); err != nil {
		return err
	}
	return summariseSlopes(w, runs)
}

func requestsPerSecond(r record.Run) float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Requests) / r.Seconds
}

func summariseSlopes(w io.Writer, runs []record.Run) error {
	var table strings.Builder
	for _, each := range []struct {
		load, name string
		figure     func(record.Run) float64
	}{
		{record.LoadMemory, "VmHWM under load", func(r record.Run) float64 { return float64(r.Loaded.HWM) }},
		{record.LoadMemory, "VmPeak under load", func(r record.Run) float64 { return float64(r.Loaded.Peak) }},
		{record.LoadMemory, "RSS idle after load", func(r record.Run) float64 { return float64(r.Idle.RSS) }},
		{record.LoadIdle, "RSS idle", func(r record.Run) float64 { return float64(r.Idle.RSS) }},
	} {
		seen := map[string]bool{}
		for _, run := range runs {
			if run.Load != each.load || seen[run.Server] {
				continue
			}
			seen[run.Server] = true
			line := record.Fit(runs, each.load, run.Server, each.figure)
			if line.Points < 2 {
				continue
			}
			what := "measured up to there"
			if line.MaxX < published {
				what = fmt.Sprintf("an extrapolation: nothing was measured beyond %d", line.MaxX)
			}
			fmt.Fprintf(&table, "%s\t%s\t%.0f bytes a connection\t%.0f MB at %d connections\t(%s)\n",
				each.name, run.Server, line.Slope, line.At(published)/1e6, published, what)
		}
	}
	return printTable(w, table.String())
}

// printTable prints lines whose cells are separated by tabs.
func printTable(w io.Writer, lines string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(table, lines); err != nil {
		return err
	}
	return table.Flush()
}
