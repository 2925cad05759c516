package kourier

import (
	"os"
	"runtime"
	"sync"
	"time"
)

// A worker comes into Go thousands of times a second without ever entering Go's
// scheduler. To the scheduler's monitor (runtime.sysmon) it looks like one
// goroutine that holds a P and does not let go. The monitor takes the P away, and
// then looks every 20 µs whether it must do so again; without a spare P it even
// does so each time that the worker is out of Go for longer than that. Together
// this costs up to a tenth of a core, which a spare P and an entry into the
// scheduler now and then avoid (docs/internals.md has the figures).
//
// Workers that have only handlers to call are better off without a spare P: the
// goroutines of the handlers would have it at once, and take the processor from the
// workers, and the workers from them, in the middle of their work. Without one a worker
// enters the scheduler with each batch anyway, and waits for its sockets inside
// Go (eventWait), where it holds no P.

// waitersMax is how many workers a server may have whose workers wait inside Go: a
// new connection wakes all of them, because EPOLLEXCLUSIVE ends at the worker's
// epoll descriptor if that is watched by another one.
const waitersMax = 4

// ownProcs is GOMAXPROCS before any server has raised it.
var ownProcs = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// makeSpareP raises GOMAXPROCS to one more than the workers, unless the
// environment sets it, or the workers have only handlers to call and are few. It
// reports whether there is a spare P, and whether the workers wait inside Go.
func makeSpareP(workers int, handlersOnly bool) (spare, waits bool) {
	few := workers <= waitersMax
	wanted := !few || !handlersOnly
	if wanted && runtime.GOMAXPROCS(0) <= workers && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(workers + 1)
	}
	spare = runtime.GOMAXPROCS(0) > workers
	return spare, few && !spare
}

// A patience decides whether a worker waits for handlers. It does as long as that
// saves work; when they compute, its other connections would wait for them too.
type patience struct {
	slow  int       // waits in a row that took too long
	until time.Time // no more waiting before
}

const (
	// A wait takes too long beyond the largest of these: the second one is for each connection handed over, the third
	// for each of their requests.
	patienceMax        = 2 * time.Millisecond
	patienceForEach    = 100 * time.Microsecond
	patienceForRequest = 10 * time.Microsecond

	patienceSlowMax = 2                      // waits that took too long, in a row, before it ends
	patiencePause   = 200 * time.Millisecond // for which it then ends
)

// lasts reports whether the worker waits for handlers now.
func (p *patience) lasts(now time.Time) bool { return !now.Before(p.until) }

// isTooLong reports whether a wait for connections, with so many requests of a batch, takes too long.
func isTooLong(wait time.Duration, connections, requests int64) bool {
	return wait > max(patienceMax, time.Duration(connections)*patienceForEach, time.Duration(requests)*patienceForRequest)
}

// waited is told of each wait, and whether it took too long.
func (p *patience) waited(now time.Time, tooLong bool) {
	if !tooLong {
		p.slow = 0
		return
	}
	if p.slow++; p.slow >= patienceSlowMax {
		p.slow = 0
		p.until = now.Add(patiencePause)
	}
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
