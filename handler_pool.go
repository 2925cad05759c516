package kourier

import (
	"sync"
	"time"
)

// poolSweepPeriod is how often idle goroutines end that were not needed since
// the last time.
const poolSweepPeriod = 10 * time.Second

// A goroutinePool keeps goroutines that have nothing to do, because their stacks
// have grown to what handlers need. The one that became idle last is used first,
// so that those at the bottom can end.
type goroutinePool struct {
	mu      sync.Mutex
	idle    []chan *handed // each wakes a goroutine; nil on it ends one
	idleMax int
	unused  int // the lowest number of idle ones since the last sweep
	closed  bool
	sweeper *time.Timer // nil: nothing to sweep
}

// start has e serve h on an idle goroutine, or on a new one.
func (p *goroutinePool) start(e *handlerEngine, h *handed) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		go p.run(e, h)
		return
	}
	wake := p.idle[last]
	p.idle = p.idle[:last]
	p.unused = min(p.unused, last)
	p.mu.Unlock()
	wake <- h // it has room for one
}

// run serves until the pool has no use for the goroutine.
func (p *goroutinePool) run(e *handlerEngine, h *handed) {
	wake := make(chan *handed, 1)
	for h != nil {
		e.serve(h)
		if !p.park(wake) {
			return
		}
		h = <-wake
	}
}

// park makes the goroutine of wake an idle one. It reports whether there is a place for it.
func (p *goroutinePool) park(wake chan *handed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
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
		wake <- nil
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
