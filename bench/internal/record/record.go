// Package record is what the benchmark kit writes down, one JSON object a line, and what can be said about several runs.
package record

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Kinds of lines. A file begins with one KindMachine.
const (
	KindMachine = "machine"
	KindRun     = "run"
)

// Machine tells where and how the runs that follow were made.
type Machine struct {
	Kind        string            `json:"kind"` // KindMachine
	Time        string            `json:"time"` // RFC 3339
	Profile     string            `json:"profile"`
	Arguments   []string          `json:"arguments"` // of the kit
	CPU         string            `json:"cpu"`
	Cores       int               `json:"cores"`
	ServerCores []int             `json:"server_cores"`
	LoadCores   []int             `json:"load_cores"`
	MemoryBytes int64             `json:"memory_bytes"`
	Kernel      string            `json:"kernel"`
	System      string            `json:"system"`
	LoadAverage string            `json:"load_average"` // when the kit began; a quiet machine is near 0
	Versions    map[string]string `json:"versions"`     // of compilers, servers and the project, by name
	Limits      map[string]string `json:"limits"`       // of the machine, by name
}

// Run is one load on one freshly started server.
type Run struct {
	Kind        string  `json:"kind"` // KindRun
	Server      string  `json:"server"`
	Load        string  `json:"load"`
	Round       int     `json:"round"` // from 1
	Connections int     `json:"connections"`
	Depth       int     `json:"depth"`            // requests in flight on a connection
	Rate        int     `json:"rate,omitempty"`   // requests a second that are due, for open loads
	Seconds     float64 `json:"seconds"`          // of load
	Requests    int64   `json:"requests"`         // answered within Seconds
	Drained     int64   `json:"drained"`          // under way when the time was over, and answered later
	Late        int64   `json:"late,omitempty"`   // due within Seconds and never sent, for open loads
	BytesPerS   float64 `json:"bytes_per_second"` // of bodies and heads, the way that the load goes
	Latency     Latency `json:"latency_us"`
	CPU         CPU     `json:"cpu_seconds"`
	Errors      Errors  `json:"errors"`

	// ServedPerQuarter is how many of the connections were answered in each quarter of the load, and Alive how many
	// still were when each was asked once more after the idle time. Not known of wrk's loads.
	ServedPerQuarter [4]int `json:"served_per_quarter"`
	Alive            int    `json:"alive"`

	Start  Sample `json:"start"`  // no connection
	Loaded Sample `json:"loaded"` // in the middle of the load; HWM and Peak: at its end
	Idle   Sample `json:"idle"`   // after it, the connections open
	Closed Sample `json:"closed"` // after it, no connection

	Attack *Attack `json:"attack,omitempty"`
}

// Latency holds percentiles in microseconds; zeros where they are not known, as of wrk with Depth above 1.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// CPU is time that the server's processes used while they answered Requests and Drained, in seconds.
type CPU struct {
	User   float64 `json:"user"`
	System float64 `json:"system"`
}

// Errors counts what went wrong, by what the loader saw. All are 0 in a run that counts.
type Errors struct {
	Connect    int64 `json:"connect"` // refused, or not made in time
	Closed     int64 `json:"closed"`  // by the server
	Malformed  int64 `json:"malformed"`
	Status     int64 `json:"status"` // other than 200
	Body       int64 `json:"body"`
	Unanswered int64 `json:"unanswered"` // in time, or never asked in that time
}

// Total is the sum of all.
func (e Errors) Total() int64 {
	return e.Connect + e.Closed + e.Malformed + e.Status + e.Body + e.Unanswered
}

// Plus adds what went wrong elsewhere.
func (e Errors) Plus(other Errors) Errors {
	e.Connect += other.Connect
	e.Closed += other.Closed
	e.Malformed += other.Malformed
	e.Status += other.Status
	e.Body += other.Body
	e.Unanswered += other.Unanswered
	return e
}

// Sample is the memory of the server's processes together, and that of all sockets of the machine, in bytes.
type Sample struct {
	RSS     int64 `json:"rss"`
	PSS     int64 `json:"pss"`
	HWM     int64 `json:"hwm"`  // the most that RSS has been; of several processes, the sum of each one's most
	Peak    int64 `json:"peak"` // the most that the address space has been
	Sockets int64 `json:"sockets"`
	TCP     int64 `json:"tcp"` // kernel memory of TCP's buffers, /proc/net/sockstat
}

// Attack is what stood beside an open load, and how that load fared on the same server without it.
type Attack struct {
	SlowHeads     int     `json:"slow_heads"`
	SlowReaders   int     `json:"slow_readers"`
	Standing      int     `json:"standing"`        // attacking connections, when the load began
	StandingAtEnd int     `json:"standing_at_end"` // the same when it ended, less those that had yet to come back
	Closed        int64   `json:"closed"`          // by the server, with those that came in place of others
	ConnectErrors int64   `json:"connect_errors"`  // attacking connections that could not be begun; each is tried again
	Without       Latency `json:"latency_us_without"`
	Errors        Errors  `json:"errors_without"`
	Before        Sample  `json:"before"` // after the load without attack, no connection
}

// CPUPerMillion returns user and system seconds for a million requests, 0 if there were none.
func (r Run) CPUPerMillion() CPU {
	answered := float64(r.Requests + r.Drained)
	if answered == 0 {
		return CPU{}
	}
	return CPU{User: r.CPU.User / answered * 1e6, System: r.CPU.System / answered * 1e6}
}

// Total is user and system time together.
func (c CPU) Total() float64 { return c.User + c.System }

// Write adds line, a Machine or a Run, to w.
func Write(w io.Writer, line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// Read returns what was written to r.
func Read(r io.Reader) (Machine, []Run, error) {
	var machine Machine
	var runs []Run
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var run Run
		if err := json.Unmarshal(lines.Bytes(), &run); err != nil {
			return machine, runs, fmt.Errorf("line %d: %w", n, err)
		}
		switch run.Kind {
		case KindRun:
			runs = append(runs, run)
		case KindMachine:
			if err := json.Unmarshal(lines.Bytes(), &machine); err != nil {
				return machine, runs, fmt.Errorf("line %d: %w", n, err)
			}
		default:
			return machine, runs, fmt.Errorf("line %d: kind %q is not known", n, run.Kind)
		}
	}
	return machine, runs, lines.Err()
}
