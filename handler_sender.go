package kourier

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sendBufferSize is how much of the answers of a connection is collected, in bytes.
	sendBufferSize = 64 << 10

	// collectSize is how much of a body is collected before its head is decided,
	// and then for each chunk, in bytes: what net/http's server collects.
	collectSize = 2048

	// flushDelay is how long a finished answer, or a finished part of one, may
	// wait for a handler that is still running.
	flushDelay = time.Millisecond
)

// A sender collects the answers to the requests that came together, and sends
// them together. It is reused: one that has no link belongs to nobody.
type sender struct {
	// number is that of the answer in progress, counted over all that the sender is used
	// for. It changes with mu held, when a handler has returned: from then on the writer
	// with the number before is one that was kept.
	number atomic.Uint64

	// mu guards everything below, with one exception: see answer. It is held while the
	// link sends.
	mu      sync.Mutex
	link    link
	pending []byte // complete parts of answers, in order
	err     error  // of the link; nothing can be sent any more
	start   int    // where the answer in progress begins in pending; partLeft once some of it has left
	timer   *time.Timer
	armed   bool // timer runs

	answer answer // to the request in progress; what follows is what it collects

	body       []byte // of the body
	fields     []byte // the encoded field lines of its head
	connection []byte // those of its Connection fields
	header     []headerField
	trailers   []string // names that it announces
	fast       *fastRunner
}

// partLeft in place of where an answer begins: it can not be taken back.
const partLeft = -1

var senders = sync.Pool{New: func() any {
	s := &sender{body: make([]byte, 0, collectSize)}
	s.answer.sender = s
	s.timer = time.AfterFunc(time.Hour, s.flushLate)
	s.timer.Stop()
	return s
}}

// newSender returns a sender for l, to be given back with free.
func newSender(l link) *sender {
	s := senders.Get().(*sender)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link, s.err = l, nil
	s.next(false)
	return s
}

// next makes ready for the answer behind what was collected, which goes out soon if
// another request waits: its handler may take its time.
func (s *sender) next(another bool) {
	s.start = len(s.pending)
	clear(s.trailers)
	s.body, s.trailers = s.body[:0], s.trailers[:0]
	if another {
		s.arm()
	}
}

// cut takes back what was collected of the answer in progress. It reports whether
// that is all of it.
func (s *sender) cut() bool {
	if s.start == partLeft {
		s.pending = s.pending[:0] // all that stands there is of this answer
		return false
	}
	s.pending = s.pending[:s.start]
	return true
}

// free gives s back. Writers that were kept find by the number that they are done.
func (s *sender) free() {
	s.mu.Lock()
	s.link = nil
	s.answer = answer{sender: s}
	if s.armed {
		s.timer.Stop()
		s.armed = false
	}
	s.pending = s.pending[:0]
	if cap(s.pending) > 2*sendBufferSize {
		s.pending = nil
	}
	if cap(s.fields) > fieldsKeepMax {
		s.fields = nil
	}
	s.mu.Unlock()
	senders.Put(s)
}

// add takes data behind what it has. Large data goes out at once, without a copy.
// s.mu is held, as for all that follow.
func (s *sender) add(data []byte) {
	if len(data) >= directBodyMax || len(s.pending)+len(data) > sendBufferSize {
		s.send(data)
		return
	}
	s.pending = append(s.pending, data...)
}

// send sends what was collected, and data behind it.
func (s *sender) send(data []byte) {
	size := len(s.pending) + len(data)
	if size == 0 {
		return
	}
	if size > s.start {
		s.start = partLeft
	} else {
		s.start = 0 // all that leaves is of earlier answers
	}
	if s.err == nil {
		_, s.err = s.link.write(s.pending, data)
	}
	s.pending = s.pending[:0]
}

// arm makes sure that what was collected goes out soon, whatever the handlers do.
func (s *sender) arm() {
	if len(s.pending) > 0 && !s.armed {
		s.armed = true
		s.timer.Reset(flushDelay)
	}
}

// flushLate runs on a goroutine of the timer, perhaps after s was given back and
// taken again: then something goes out early.
func (s *sender) flushLate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	if s.link != nil {
		s.send(nil)
	}
}
