package kourier

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	"github.com/kourier-go/kourier/internal/abi"
)

// A writeFunc is kr_batch_write. It is done with data when it returns.
type writeFunc func(b *abi.Batch, index uint32, data []byte) int32

// A peerFunc is kr_peer. It returns the zero AddrPort for a Unix socket and for
// a connection that is gone.
type peerFunc func(b *abi.Batch, connection uint64) netip.AddrPort

// A logFunc records what went wrong in a handler. value is what it panicked
// with, or an error that tells of a misuse, and then stack is empty. req is
// valid during the call. It is called on native threads, concurrently.
type logFunc func(value any, stack []byte, req *Request)

// links take connections over whose requests no Fast handler has taken.
type links interface {
	// take hands the connection of requests over, which are all that are left of it
	// in the batch. It must not block.
	take(b *abi.Batch, requests []abi.Request)
	// yield is called at the end of a batch of which something was taken.
	yield(worker uint32)
}

// A dispatcher has the requests of each batch answered by a Fast handler.
type dispatcher struct {
	workers []worker
	// keepAlivesOff, unless nil, closes each connection after its answer while it is set.
	keepAlivesOff *atomic.Bool
	// notice gets the notices; nil if none can come. It must neither block nor panic.
	notice func(worker uint32, n *abi.Notice)
	// wait waits for what a worker waits for; nil if workers do so themselves.
	wait func(b *abi.Batch)
}

// newDispatcher makes a dispatcher for batches whose Worker is below workers. What
// fast passes goes to links, and so does everything if fast is nil; without links
// it is answered 404.
func newDispatcher(fast FastHandler, links links, workers int, write writeFunc, peer peerFunc, log logFunc) *dispatcher {
	if fast == nil && links == nil {
		fast = func(_ *Request, res *Response) { res.Pass() }
	}
	d := &dispatcher{workers: make([]worker, workers)}
	for i := range d.workers {
		w := &d.workers[i]
		w.fast, w.links, w.log = fast, links, log
		w.prepare(write, peer)
	}
	return d
}

// enableYield has the workers enter Go's scheduler now and then; before the first batch.
func (d *dispatcher) enableYield() {
	for i := range d.workers {
		d.workers[i].yielder.enabled = true
	}
}

// OnBatch answers the requests of b. The core calls it on its workers, for
// several workers at a time, but never twice at a time for one.
func (d *dispatcher) OnBatch(b *abi.Batch) {
	received()
	defer sending()
	if b.WaitMS != 0 {
		d.wait(b)
		return
	}
	w := &d.workers[b.Worker]
	w.yielder.yield(b.NowMS)
	w.enter(b)
	notices := b.NoticeSlice()
	for i := range notices {
		d.notice(b.Worker, &notices[i])
	}
	if d.keepAlivesOff != nil && d.keepAlivesOff.Load() {
		closeAll(b)
	}
	for next := 0; next < int(b.Count); {
		next = w.run(next)
	}
	w.leave()
	if w.tookOver {
		w.tookOver = false
		w.links.yield(b.Worker)
	}
}

// closeAll closes the connections of b after their answers.
func closeAll(b *abi.Batch) {
	requests := b.Slice()
	for i := range requests {
		requests[i].Flags &^= abi.RequestKeepAlive
	}
}

// noConnection is no connection's number: generations do not come this far.
const noConnection = math.MaxUint64

// A worker is what one native thread needs to answer requests, reused from
// request to request.
type worker struct {
	fast    FastHandler
	links   links
	write   writeFunc
	log     logFunc
	index   int    // of the request being answered
	stopped uint64 // the connection whose later requests are left alone
	yielder yielder
	// tookOver: links have been made of this batch.
	tookOver bool
	date     [64]byte
	req      Request
	res      Response
	_        [128]byte // keeps the next worker off this one's cache lines
}

// prepare makes w ready for its first batch, but for its handler and its log.
func (w *worker) prepare(write writeFunc, peer peerFunc) {
	w.write = write
	w.req.peer = peer
	w.req.raw, w.res.raw = &noRequest, &noRequest
	w.res.worker = w
	w.res.reset()
}

// enter makes b the current batch.
func (w *worker) enter(b *abi.Batch) {
	w.stopped = noConnection
	w.req.batch = b
	w.res.batch = b
	if date := b.DateLine(); string(date) != string(w.date[:len(date)]) {
		copy(w.date[:], date)
		for i := range w.res.templates {
			w.res.templates[i].code = 0
		}
	}
}

// leave forgets the batch, so that a Request or Response that was kept shows
// nothing and does nothing.
func (w *worker) leave() {
	w.req.batch, w.res.batch = nil, nil
	w.req.raw, w.res.raw = &noRequest, &noRequest
}

// run answers requests from first on, until the batch ends or a handler panics.
// It returns the index of the request to go on with.
func (w *worker) run(first int) (next int) {
	defer func() {
		if value := recover(); value != nil {
			w.recovered(value)
			next = w.index + 1
		}
	}()
	requests := w.res.batch.Slice()
	for i := first; i < len(requests); i++ {
		raw := &requests[i]
		if raw.AnswerFlags != 0 || raw.Connection == w.stopped {
			continue
		}
		w.index = i
		if w.fast != nil && raw.Flags&abi.RequestPreface == 0 {
			w.req.raw = raw
			w.res.begin(raw, uint32(i))
			w.fast(&w.req, &w.res)
			if w.res.state != statePassed || w.links == nil {
				w.finish(raw)
				continue
			}
		}
		w.takeOver(requests, i)
	}
	return len(requests)
}

// takeOver hands the connection of requests[i] over, with what is left of its requests.
func (w *worker) takeOver(requests []abi.Request, i int) {
	connection := requests[i].Connection
	w.stopped = connection
	if i > 0 && requests[i-1].Connection == connection && w.write(w.res.batch, uint32(i), nil) != abi.OK {
		return // what came before is not on its way: the core asks again, or closes
	}
	end := i + 1
	for end < len(requests) && requests[end].Connection == connection {
		end++
	}
	w.links.take(w.res.batch, requests[i:end])
	requests[i].AnswerFlags = abi.AnswerLater
	w.tookOver = true
	if poisoning {
		w.req.raw, w.res.raw = &noRequest, &noRequest
		poison(&requests[i])
	}
}

func (w *worker) finish(raw *abi.Request) {
	if w.res.finish() {
		w.stopped = raw.Connection
	}
	if poisoning {
		w.req.raw, w.res.raw = &noRequest, &noRequest
		poison(raw)
	}
}

// recovered ends the request whose handler has panicked.
func (w *worker) recovered(value any) {
	if value == http.ErrAbortHandler { //nolint:errorlint // as net/http does: errors.Is would run code of the value's
		w.res.abort()
	} else {
		w.report(value, debug.Stack())
		w.res.fail()
	}
	w.finish(w.res.raw)
}

// report calls log, which is the user's in the end: its panic must not leave the callback.
func (w *worker) report(value any, stack []byte) {
	defer func() { _ = recover() }()
	w.log(value, stack, &w.req)
}

func (w *worker) reportf(format string, args ...any) {
	w.report(fmt.Errorf(format, args...), nil)
}
