package kourier

import (
	"sync/atomic"
	"time"
)

// Stats are the counters of a server since it started, and a few gauges. Reading
// them costs the workers nothing.
//
// The portable engine, which does not see into net/http, counts connections,
// requests, the refusals that are this package's, and the answers of Static and of
// Fast handlers, but not those of an http.Handler; no bytes, and nothing of the
// core's own: from Refused to AcceptRetries, and from BytesIn on.
type Stats struct {
	// Engine is what serves the main listener, the first one: "native" or
	// "portable", or "none" before the server has started.
	Engine string

	Accepted      uint64 // connections accepted
	Refused       uint64 // of them closed at once, because Config.MaxConns were open
	Shed          uint64 // idle connections closed to make room for new ones
	AcceptRetries uint64 // accepts put off for want of descriptors or memory

	ConnsActive int64 // open connections with a request, or an answer, under way
	ConnsIdle   int64 // open connections without

	ConnsHijacked   int64 // connections that Handlers have taken over for good, since the start
	HandlersRunning int64 // goroutines that have requests for Handler

	Requests     uint64 // complete requests, not those that were refused
	Responses1xx uint64
	Responses2xx uint64
	Responses3xx uint64
	Responses4xx uint64 // refusals of 400 to 431 among them
	Responses5xx uint64 // refusals of 501 and 505 among them

	ParseErrors map[Reason]uint64 // refused requests
	Timeouts    map[Reason]uint64 // connections that took too long, idle ones among them; not those whose Handler a write has told so
	OutOfMemory uint64            // connections closed because the system gave no memory

	BytesIn  uint64 // received
	BytesOut uint64 // sent

	NativeBytes int64  // memory that the core has mapped, in bytes; 0 after the end
	Batches     uint64 // callbacks into Go

	Workers []WorkerStats
}

// WorkerStats are those of one native thread.
type WorkerStats struct {
	Conns          int64         // open connections
	CPU            time.Duration // CPU time of the thread, in C and in Go
	LoopIterations uint64
	Syscalls       uint64
}

func newStats() Stats {
	return Stats{ParseErrors: map[Reason]uint64{}, Timeouts: map[Reason]uint64{}}
}

// answerCounters count answers by the first digit of their status; [0]: those above 599.
type answerCounters [6]atomic.Uint64

// count counts an answer with this status.
func (c *answerCounters) count(status int) {
	class := status / 100
	if class >= len(c) {
		class = 0
	}
	c[class].Add(1)
}

func (c *answerCounters) addTo(s *Stats) {
	s.Responses1xx += c[1].Load()
	s.Responses2xx += c[2].Load()
	s.Responses3xx += c[3].Load()
	s.Responses4xx += c[4].Load()
	s.Responses5xx += c[5].Load()
}
