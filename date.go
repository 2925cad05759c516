package kourier

import (
	"net/http"
	"sync/atomic"
	"time"
)

// date is the Date of all answers that are made in Go. The core has its own.
var date dateCache

// A dateCache holds the Date line of the current second. To ask a clock for each answer
// would cost more than to copy the line: a timer makes the next one, as long as anybody
// asks. Any goroutine may use it.
type dateCache struct {
	current atomic.Pointer[[]byte] // nil: no timer runs
	used    atomic.Bool            // since the timer has fired
}

// line returns the Date line for now, RFC 9110 §6.6.1. It must not be written to.
func (d *dateCache) line() []byte {
	line := d.current.Load()
	if line == nil {
		return d.begin()
	}
	if !d.used.Load() {
		d.used.Store(true)
	}
	return *line
}

// begin makes the first line, and has the timer make the others.
func (d *dateCache) begin() []byte {
	now := time.Now()
	line := makeDateLine(now)
	if d.current.CompareAndSwap(nil, &line) {
		d.used.Store(true)
		d.await(now)
	}
	return line
}

// await has the line changed when the second of now ends.
func (d *dateCache) await(now time.Time) {
	time.AfterFunc(time.Second-time.Duration(now.Nanosecond()), func() {
		if now := time.Now(); d.renew(now) {
			d.await(now)
		}
	})
}

// renew makes the line that of now, or none if nobody has asked for it lately. It
// reports whether there is one.
func (d *dateCache) renew(now time.Time) bool {
	if !d.used.Swap(false) {
		d.current.Store(nil)
		return false
	}
	line := makeDateLine(now)
	d.current.Store(&line)
	return true
}

func makeDateLine(now time.Time) []byte {
	return now.UTC().AppendFormat([]byte("Date: "), http.TimeFormat+lineEnd)
}
