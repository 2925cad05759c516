//go:build linux && cgo && !kourier_portable

package kourier

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// A linkTable knows the links of a server's native core, and hands new ones to
// the goroutines that serve them.
type linkTable struct {
	core     *core // set before the first batch
	handlers *handlerEngine
	event    func(Event) // nil: nobody wants to know of refusals
	conns    *connTable  // nil: nobody wants to know of connections
	bases    *baseContexts
	shelves  []linkShelf
	waits    []eventWait // of the workers

	// serveHTTP2 is nil where HTTP/2 without TLS is not spoken.
	serveHTTP2 func(conn net.Conn, base context.Context, begun []byte)

	bodyRate, drainRate int // bytes per second; 0: none

	bytesIn, bytesOut atomic.Uint64

	ended atomic.Bool // the workers have ended
}

// A linkShelf holds the links of one worker by the slots of their connections.
// Only the worker adds; whoever has a link removes it.
type linkShelf struct {
	mu       sync.Mutex
	slabs    []*linkSlab
	live     atomic.Int64 // links that are out
	taken    batchTaken   // the worker's
	patience patience     // the worker's
	_        [64]byte
}

// A batchTaken counts what was handed over of the batch in progress.
type batchTaken struct{ connections, requests int64 }

// A handover is what take makes for each connection, as one allocation.
type handover struct {
	link   nativeLink
	handed handed
	room   abi.Room
}

// A linkSlab holds the links of slots that follow one another. A shelf that grows gets
// more of them, and leaves no smaller one behind for the garbage collector.
type linkSlab [linkSlabSlots]*nativeLink

const linkSlabSlots = 1024

// place is where the link of a slot stands; nil if none has ever stood near it. s.mu
// is held, as for put.
func (s *linkShelf) place(slot int) **nativeLink {
	if slot/linkSlabSlots >= len(s.slabs) || s.slabs[slot/linkSlabSlots] == nil {
		return nil
	}
	return &s.slabs[slot/linkSlabSlots][slot%linkSlabSlots]
}

func (s *linkShelf) put(slot int, l *nativeLink) {
	for slot/linkSlabSlots >= len(s.slabs) {
		s.slabs = append(s.slabs, nil)
	}
	slab := &s.slabs[slot/linkSlabSlots]
	if *slab == nil {
		*slab = new(linkSlab)
	}
	(*slab)[slot%linkSlabSlots] = l
}

// all returns the links that stand there.
func (s *linkShelf) all() []*nativeLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*nativeLink
	for _, slab := range s.slabs {
		if slab == nil {
			continue
		}
		for _, l := range slab {
			if l != nil {
				all = append(all, l)
			}
		}
	}
	return all
}

// slotOf returns the slot of a connection, below the largest number of connections.
func slotOf(connection uint64) int { return int(uint32(connection)) }

// take hands the connection of the requests over. On its worker.
func (t *linkTable) take(b *abi.Batch, requests []abi.Request) {
	id := linkID{b.Worker, requests[0].Connection}
	all := &handover{}
	l, h := &all.link, &all.handed
	l.core, l.table, l.id = t.core, t, id
	l.reading.patience, l.reading.rate = rateGrace, t.bodyRate
	l.writing.patience, l.writing.rate = rateGrace, t.drainRate
	t.core.hold()
	shelf := &t.shelves[id.worker]
	shelf.mu.Lock()
	shelf.put(slotOf(id.connection), l)
	shelf.mu.Unlock()
	shelf.live.Add(1)
	shelf.taken.connections++
	shelf.taken.requests += int64(len(requests))
	h.link, h.base = l, t.baseOf(id)
	var many []abi.Request
	if len(requests) > 1 {
		h.several = severalRequests.Get().(*several)
		many = h.several.requests
	}
	h.block, h.requests, h.fields = all.room.Own(requests, many)
	if t.conns != nil {
		h.conn = t.conns.find(id.worker, id.connection)
	}
	if h.requests[0].Flags&abi.RequestPreface != 0 && t.serveHTTP2 != nil {
		go t.hijackHTTP2(h)
		return
	}
	t.handlers.pools[id.worker].start(t.handlers, h)
}

// baseOf returns the parent of the contexts of a link.
func (t *linkTable) baseOf(id linkID) context.Context {
	all := t.bases.list()
	if len(all) == 1 {
		return all[0]
	}
	return all[t.core.linkOrigin(id)]
}

// notice tells the link of a notice, if it is still one. On its worker.
func (t *linkTable) notice(worker uint32, n *abi.Notice) {
	if n.Kinds&abi.NoticeReason != 0 {
		remote := t.core.linkPeer(linkID{worker, n.Connection})
		t.event(Event{Reason: reasonOf(uint32(n.Reason)), Status: int(n.Code), Remote: remote, Detail: quoteLine(n.Bytes())})
		return
	}
	if n.Kinds&(abi.NoticeOpened|abi.NoticeClosed|abi.NoticeActive|abi.NoticeIdle) != 0 {
		t.connNotice(worker, n)
		return
	}
	shelf := &t.shelves[worker]
	var l *nativeLink
	shelf.mu.Lock()
	if place := shelf.place(slotOf(n.Connection)); place != nil {
		l = *place
	}
	shelf.mu.Unlock()
	if l == nil || l.id.connection != n.Connection {
		return
	}
	if n.Kinds&abi.NoticeReadable != 0 {
		l.reading.wake()
	}
	if n.Kinds&abi.NoticeWritable != 0 {
		l.writing.wake()
	}
	if n.Kinds&abi.NoticeGone != 0 {
		l.peerGone(false)
	}
}

// forget removes a link. One that was detached has ended already, and its place may be another's.
func (t *linkTable) forget(l *nativeLink) {
	l.onGone(nil)
	shelf := &t.shelves[l.id.worker]
	shelf.mu.Lock()
	if place := shelf.place(slotOf(l.id.connection)); *place == l {
		*place = nil
	}
	shelf.mu.Unlock()
	shelf.live.Add(-1)
}

// yield lets the goroutines run that serve what was handed over, before the core goes
// on, which then finds most of it done and need not be told of each. Without a spare P
// they would wait until Go's monitor finds that the worker, waiting for its
// sockets, does not need the one that it holds: up to 10 ms.
//
// Now and then the scheduler resumes the worker before goroutines that are ready:
// only when it has come back twice without any being done are the others waiting.
// When handlers compute, a goroutine is left to each connection instead.
func (t *linkTable) yield(worker uint32) {
	shelf := &t.shelves[worker]
	pool := &t.handlers.pools[worker]
	taken := shelf.taken
	shelf.taken = batchTaken{}
	start := time.Now()
	if !shelf.patience.lasts(start) {
		pool.hurry(t.handlers, true)
		return
	}
	now, tooLong := start, false
	for idle, before := 0, shelf.live.Load(); before > 0 && idle < 2 && !tooLong; {
		runtime.Gosched()
		now = time.Now()
		tooLong = isTooLong(now.Sub(start), taken.connections, taken.requests)
		waiting := pool.hurry(t.handlers, false)
		after := shelf.live.Load()
		if idle++; waiting || after < before {
			idle = 0
		}
		before = after
	}
	pool.hurry(t.handlers, true) // something is left if it took too long
	shelf.patience.waited(now, tooLong)
}

// closeAll ends the waiting of all links, whose calls fail from now on. After the
// workers have ended.
func (t *linkTable) closeAll() {
	for i := range t.shelves {
		for _, l := range t.shelves[i].all() {
			l.peerGone(true)
			l.reading.wake()
			l.writing.wake()
		}
	}
}
