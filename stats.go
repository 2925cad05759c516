package kourier

import "time"

// Stats are the counters of a server since it started, and a few gauges. Reading
// them costs the workers nothing.
type Stats struct {
	// Engine is "native", or "none" before the server has started.
	Engine string

	Accepted      uint64 // connections accepted
	Refused       uint64 // of them closed at once, because Config.MaxConns were open
	Shed          uint64 // idle connections closed to make room for new ones
	AcceptRetries uint64 // accepts put off for want of descriptors or memory

	ConnsActive int64 // open connections with a request, or an answer, under way
	ConnsIdle   int64 // open connections without

	Requests     uint64 // complete requests, not those that were refused
	Responses1xx uint64
	Responses2xx uint64
	Responses3xx uint64
	Responses4xx uint64 // refusals of 400 to 431 among them
	Responses5xx uint64 // refusals of 501 and 505 among them

	ParseErrors map[Reason]uint64 // refused requests
	Timeouts    map[Reason]uint64 // connections that took too long, idle ones among them
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

// A Reason tells why the core refused a request or closed a connection: one of
// the names in docs/internals.md, fit for a metric's label.
type Reason string

func newStats() Stats {
	return Stats{Engine: engineName, ParseErrors: map[Reason]uint64{}, Timeouts: map[Reason]uint64{}}
}
