package kourier

import (
	"net/netip"

	"github.com/kourier-go/kourier/internal/abi"
)

// fastOutSize is the room for an answer of a Fast handler, in bytes; what does
// not fit goes out in parts.
const fastOutSize = 16 << 10

// A fastRunner runs the Fast handler on a goroutine, for requests that came
// behind one which it has passed: they could not be answered before that one.
// It has the requests in batches of one, which lie in Go memory.
type fastRunner struct {
	worker worker
	out    []byte
	raw    [1]abi.Request
	link   link
}

// serveFast shows the request of h at index to the Fast handler. It reports
// whether that has answered; served says what follows then.
func (s *sender) serveFast(e *handlerEngine, h *handed, index int, served *outcome) bool {
	if s.fast == nil {
		s.fast = newFastRunner(s)
	}
	f := s.fast
	f.link = h.link
	f.worker.fast, f.worker.log = e.fast, e.fastLog
	f.raw[0] = h.requests[index]
	raw := &f.raw[0]
	raw.AnswerFlags = 0
	if e.closing() || !e.keepAlives() {
		raw.Flags &^= abi.RequestKeepAlive
	}
	b := abi.MakeBatch(f.raw[:], f.out, string(e.dates.line()))
	f.worker.enter(b)
	passed := f.run(raw)
	f.worker.leave()
	answered := *raw
	f.raw[0], f.link = abi.Request{}, nil // what is kept for later keeps no request
	if passed {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(f.out[answered.AnswerOffset:][:answered.AnswerSize])
	s.next(index+1 < len(h.requests))
	if answered.AnswerCode != 0 {
		e.counters.responses.count(int(answered.AnswerCode))
	}
	switch {
	case answered.AnswerFlags&abi.AnswerAbort != 0 || s.err != nil:
		served.how = abi.ReleaseAbort
	case answered.AnswerFlags&abi.AnswerClose != 0 || answered.Flags&abi.RequestKeepAlive == 0:
		served.how = abi.ReleaseClose
	default:
		served.how = abi.ReleaseKeep
	}
	return true
}

func newFastRunner(s *sender) *fastRunner {
	f := &fastRunner{out: make([]byte, fastOutSize)}
	f.worker.prepare(s.writeFast, func(*abi.Batch, uint64) netip.AddrPort { return f.link.remote() })
	return f
}

// run calls the handler for raw. It reports whether that has passed.
func (f *fastRunner) run(raw *abi.Request) (passed bool) {
	w := &f.worker
	defer func() {
		if value := recover(); value != nil {
			w.recovered(value)
		}
	}()
	w.req.raw = raw
	w.res.begin(raw, 0)
	w.fast(&w.req, &w.res)
	if w.res.state == statePassed {
		return true
	}
	w.finish(raw)
	return false
}

// writeFast is the writeFunc of the runner: what stands in Out goes first.
func (s *sender) writeFast(b *abi.Batch, _ uint32, data []byte) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := b.OutSize
	b.OutSize = 0
	s.add(b.Free()[:used])
	s.send(data)
	raw := &b.Slice()[0]
	raw.AnswerOffset, raw.AnswerSize = 0, 0
	if s.err != nil {
		return abi.ErrClosed
	}
	return abi.OK
}
