package kourier

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A dateCache holds the Date line of the current second. To ask a clock for each answer
// would cost more than to copy the line: a timer makes the next one, as long as anybody
// asks. So the first answers of a process that was stopped for a while may have the date
// from before. Any goroutine may use it.
type dateCache struct {
	current atomic.Pointer[[]byte] // nil: no timer runs
	used    atomic.Bool            // since the timer has fired

	now   func() time.Time
	after func(d time.Duration, f func()) // calls f then, on any goroutine
}

func newDateCache() *dateCache {
	return &dateCache{now: time.Now, after: func(d time.Duration, f func()) { time.AfterFunc(d, f) }}
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
	now := d.now()
	line := makeDateLine(now)
	if d.current.CompareAndSwap(nil, &line) {
		d.used.Store(true)
		d.await(now)
	}
	return line
}

// await has the line changed when the second of date has ended.
func (d *dateCache) await(date time.Time) {
	end := date.Truncate(time.Second).Add(time.Second)
	d.after(end.Sub(d.now()), d.renew)
}

// renew makes the line that of now, or none if nobody has asked for it lately.
func (d *dateCache) renew() {
	if !d.used.Swap(false) {
		d.current.Store(nil)
		return
	}
	now := d.now()
	line := makeDateLine(now)
	d.current.Store(&line)
	d.await(now)
}

func makeDateLine(now time.Time) []byte {
	return now.UTC().AppendFormat([]byte("Date: "), http.TimeFormat+lineEnd)
}
