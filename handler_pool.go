package kourier

import (
	"slices"
	"sync"
	"time"
)

// poolSweepPeriod is how often idle goroutines end that were not needed since
// the last time.
const poolSweepPeriod = 10 * time.Second

// queueMoveMin is how many places at the front of the queue are left empty before the rest moves there.
const queueMoveMin = 256

// A goroutinePool has the connections that one worker hands over served by as few
// goroutines as get it done: each takes the next one when it is done with one, so
// that handlers which do not block run on one stack, that has grown and is in the
// cache. For those that block hurry wakes others.
//
// Goroutines that have nothing to do are kept, because their stacks have grown to
// what handlers need. The one that became idle last is used first, so that those
// at the bottom can end.
type goroutinePool struct {
	mu    sync.Mutex
	queue []*handed // nobody serves them yet, from begun on
	begun int

	coming int // goroutines that were woken and have not looked at the queue yet

	// Of the batch whose connections are being handed over.
	woken int // goroutines
	used  int // of those: have found something to serve
	width int // used, of the batch before; woken comes up to it without hurry

	// Since hurry has looked.
	wokenLately int // goroutines
	begunLately int // connections

	idle    []chan bool // each wakes a goroutine; false on it ends one
	idleMax int
	unused  int // the lowest number of idle ones since the last sweep
	closed  bool
	sweeper *time.Timer // nil: nothing to sweep
}

// start has e serve h soon, if hurry is called behind the last one of a batch.
func (p *goroutinePool) start(e *handlerEngine, h *handed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, h)
	if p.woken == 0 || p.woken < p.width {
		p.wake(e)
	}
}

// hurry wakes goroutines if something waits though those that were woken had their
// turn, and reports whether something does. It is to be called until nothing does,
// with a turn for others between two calls, or once with last set, for which as
// many are woken as there are to be served. None is woken for what one is coming for.
func (p *goroutinePool) hurry(e *handlerEngine, last bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := len(p.queue) - p.begun
	more := 1
	switch {
	case last:
		more = waiting
	case p.begunLately <= p.wokenLately: // none has come back for a second one: handlers block
		more = 2 * max(p.wokenLately, 1)
	}
	p.wokenLately, p.begunLately = 0, 0
	for range min(more, waiting-p.coming) {
		p.wake(e)
	}
	if (waiting == 0 || last) && p.woken > 0 {
		p.woken, p.used, p.width = 0, 0, p.used
	}
	return waiting > 0
}

// wake has one more goroutine look for something to serve. p.mu is held.
func (p *goroutinePool) wake(e *handlerEngine) {
	p.woken++
	p.wokenLately++
	p.coming++
	last := len(p.idle) - 1
	if last < 0 {
		go p.run(e)
		return
	}
	p.idle[last] <- true // it has room for one
	p.idle = p.idle[:last]
	p.unused = min(p.unused, last)
}

// run serves until the pool has no use for the goroutine.
func (p *goroutinePool) run(e *handlerEngine) {
	wake := make(chan bool, 1)
	for work := true; work; {
		h, parked := p.next(wake, true)
		for h != nil {
			e.serve(h)
			h, parked = p.next(wake, false)
		}
		work = parked && <-wake
	}
}

// next returns what the calling goroutine is to serve. If there is nothing, it
// makes it an idle one, that wake wakes, and reports whether there is a place for it.
// first tells that it was woken since the last call.
func (p *goroutinePool) next(wake chan bool, first bool) (h *handed, parked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first {
		p.coming--
	}
	if p.begun == len(p.queue) {
		return nil, p.park(wake)
	}
	h = p.queue[p.begun]
	p.queue[p.begun] = nil
	p.begun++
	if p.begun == len(p.queue) || p.begun >= queueMoveMin && 2*p.begun >= len(p.queue) { // it may never empty
		p.queue, p.begun = slices.Delete(p.queue, 0, p.begun), 0
	}
	p.begunLately++
	if first {
		p.used++
	}
	return h, false
}

// park makes the goroutine of wake an idle one. It reports whether there is a
// place for it. p.mu is held.
func (p *goroutinePool) park(wake chan bool) bool {
	if p.closed || len(p.idle) >= p.idleMax {
		return false
	}
	p.idle = append(p.idle, wake)
	if p.sweeper == nil {
		p.unused = 0
		p.sweeper = time.AfterFunc(poolSweepPeriod, p.sweep)
	}
	return true
}

// sweep ends the goroutines that were idle since the last sweep.
func (p *goroutinePool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.end(p.unused)
	p.unused = len(p.idle)
	switch {
	case len(p.idle) > 0:
		p.sweeper.Reset(poolSweepPeriod)
	default:
		p.sweeper = nil
	}
}

// end ends the count goroutines that are idle for longest. p.mu is held.
func (p *goroutinePool) end(count int) {
	for _, wake := range p.idle[:count] {
		wake <- false
	}
	left := copy(p.idle, p.idle[count:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
}

// close ends all idle goroutines, and the others when they have served.
func (p *goroutinePool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweeper != nil {
		p.sweeper.Stop()
		p.sweeper = nil
	}
	p.end(len(p.idle))
}
