package main

import (
	"errors"
	"fmt"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// check says why a run does not count: connections that were not asked for, that the machine's kernel did not have while
// they should stand, or that were not answered. Each is answered once before the load, at least once under it, if it is
// one, and once after it; what a quarter of the load's time saw is a matter of speed.
func check(run record.Run, connections int) error {
	var faults []error
	fault := func(format string, values ...any) { faults = append(faults, fmt.Errorf(format, values...)) }
	if run.Connections != connections {
		fault("%d connections were made, not %d", run.Connections, connections)
	}
	for when, sample := range map[string]record.Sample{"under load": run.Loaded, "after it": run.Idle} {
		if sample.Sockets < int64(2*connections) {
			fault("%s %d sockets were in use, not two a connection", when, sample.Sockets)
		}
	}
	if answered := run.Requests + run.Drained; run.Load == record.LoadMemory && answered < int64(connections) {
		fault("%d requests were answered, less than one a connection", answered)
	}
	if run.Alive != connections {
		fault("%d connections were answered in the end, not %d", run.Alive, connections)
	}
	if run.Errors.Total() != 0 {
		fault("the loader met errors: %+v", run.Errors)
	}
	return errors.Join(faults...)
}

// describe tells what the connections have cost. Pss is exact; what stands in VmHWM may lag behind by 64 pages a thread
// in kernels before 6.2.
func describe(run record.Run) string {
	const megabyte = 1e6
	per := func(size int64) float64 { return float64(size) / float64(run.Connections) }
	return fmt.Sprintf("%s, %s, %d connections: VmHWM %.1f MB (%.1f without connections, %.0f bytes for each); "+
		"VmPeak %.1f MB (%.1f without); idle Pss %.1f MB (%.0f bytes for each)",
		run.Load, run.Server, run.Connections,
		float64(run.Loaded.HWM)/megabyte, float64(run.Start.HWM)/megabyte, per(run.Loaded.HWM-run.Start.HWM),
		float64(run.Loaded.Peak)/megabyte, float64(run.Start.Peak)/megabyte,
		float64(run.Idle.PSS)/megabyte, per(run.Idle.PSS-run.Start.PSS))
}
