package kourier

import (
	"os"
	"runtime"
	"sync"
)

// A worker comes into Go thousands of times a second without ever entering Go's
// scheduler. To the scheduler's monitor (runtime.sysmon) it looks like one
// goroutine that holds a P and does not let go. The monitor takes the P away, and
// then looks every 20 µs whether it must do so again; without a spare P it even
// does so each time that the worker is out of Go for longer than that. Together
// this costs up to a tenth of a core, which a spare P and an entry into the
// scheduler now and then avoid (docs/internals.md has the figures).

// ownProcs is GOMAXPROCS before any server has raised it.
var ownProcs = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// makeSpareP raises GOMAXPROCS to one more than the workers, unless the
// environment sets it. It reports whether there is a spare P.
func makeSpareP(workers int) bool {
	if runtime.GOMAXPROCS(0) <= workers && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(workers + 1)
	}
	return runtime.GOMAXPROCS(0) > workers
}

// yieldPeriodMS is how often a worker enters the scheduler, in milliseconds: the
// monitor takes a P after 10 ms.
const yieldPeriodMS = 5

// yieldCallsMin is how many batches must have come since the last time: a worker
// that comes rarely need not wait behind every goroutine that is ready to run.
const yieldCallsMin = 3

// A yielder has one worker enter the scheduler in time.
type yielder struct {
	enabled bool
	calls   uint32 // since lastMS
	lastMS  uint32
}

func (y *yielder) yield(nowMS uint32) {
	if y.due(nowMS) {
		runtime.Gosched()
	}
}

// due counts a batch and reports whether it is time.
func (y *yielder) due(nowMS uint32) bool {
	y.calls++
	if !y.enabled || nowMS-y.lastMS < yieldPeriodMS {
		return false
	}
	dense := y.calls >= yieldCallsMin
	y.calls = 0
	y.lastMS = nowMS
	return dense
}
