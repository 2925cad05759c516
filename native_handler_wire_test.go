//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// What a handler does with its writer, and the bytes that a client gets for it.

// A wireCase is a handler and the answer that it makes.
type wireCase struct {
	text   string // the request; helloRequest if it is empty
	handle func(w http.ResponseWriter) error
	err    error // that handle returns

	code   int      // 200 if it is 0
	sends  []string // lines of the head; those are all of their names, in that order
	lacks  []string // names of fields that the head has not
	body   string   // as it is framed
	closes bool     // there is no next answer
	logs   string   // a part of what is logged
}

const headRequest = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

// framing are the fields of an answer whose body is not framed.
var framing = []string{"Content-Length", "Transfer-Encoding"}

// writing returns a handler that writes the parts, one by one.
func writing(parts ...string) func(w http.ResponseWriter) error {
	return writingWith("", "", parts...)
}

// writingWith is writing, but sets a field before.
func writingWith(name, value string, parts ...string) func(w http.ResponseWriter) error {
	return func(w http.ResponseWriter) error {
		if name != "" {
			w.Header().Set(name, value)
		}
		var err error
		for _, part := range parts {
			_, partErr := io.WriteString(w, part)
			err = errors.Join(err, partErr)
		}
		return err
	}
}

// answering returns a handler that writes a head and then the text.
func answering(code int, text string, fields ...string) func(w http.ResponseWriter) error {
	return func(w http.ResponseWriter) error {
		for _, field := range fields {
			name, value, _ := strings.Cut(field, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		if text == "" {
			return nil
		}
		_, err := io.WriteString(w, text)
		return err
	}
}

// assigning returns a handler that puts a value into the header as it is.
func assigning(name string, values ...string) func(w http.ResponseWriter) error {
	return func(w http.ResponseWriter) error {
		w.Header()[name] = values
		_, err := io.WriteString(w, "x")
		return err
	}
}

// chunked returns the body text as one chunk.
func chunked(text string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text) }

var wireCases = map[string]wireCase{
	// Fields.
	"a key goes out as it was assigned": {
		handle: assigning("x-lower-CASE", "1"), sends: []string{"x-lower-CASE: 1"}, body: "x",
	},
	"every value has a line, in order": {
		handle: assigning("X-A", "3", "1", "2"), sends: []string{"X-A: 3", "X-A: 1", "X-A: 2"}, body: "x",
	},
	"lines in a value become spaces": {
		handle: assigning("X-A", "a\r\nX-B: b\nc\rd"), sends: []string{"X-A: a  X-B: b c d"}, lacks: []string{"X-B"}, body: "x",
	},
	"blanks around a value are cut off": {
		handle: assigning("X-A", " \tb c\t "), sends: []string{"X-A: b c"}, body: "x",
	},
	"a key that is no name is left out": {
		handle: assigning("X-A: b\r\nX-B", "c"), lacks: []string{"X-A", "X-B"}, body: "x",
	},
	"a nil Date is none":               {handle: assigning("Date"), lacks: []string{"Date"}, body: "x"},
	"a Date that is set stays":         {handle: assigning("Date", "today"), sends: []string{"Date: today"}, body: "x"},
	"a nil Content-Type is none":       {handle: assigning("Content-Type"), lacks: []string{"Content-Type"}, body: "x"},
	"a Content-Type that is set stays": {handle: assigning("Content-Type", "a/b"), sends: []string{"Content-Type: a/b"}, body: "x"},
	"there is no Server":               {handle: writing("x"), lacks: []string{"Server"}, body: "x"},

	// The type of the content.
	"HTML is recognised": {
		handle: writing("<html>"), sends: []string{"Content-Type: text/html; charset=utf-8", "Content-Length: 6"}, body: "<html>",
	},
	"small writes are looked at together": {
		handle: writing("<ht", "ml>"), sends: []string{"Content-Type: text/html; charset=utf-8"}, body: "<html>",
	},
	"a reader is looked at": {
		handle: func(w http.ResponseWriter) error {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("<html>"))
			return err
		},
		sends: []string{"Content-Type: text/html; charset=utf-8"}, body: "<html>",
	},
	"512 bytes are looked at": {
		handle: writing(strings.Repeat(" ", 512) + "<html>"), sends: []string{"Content-Type: text/plain; charset=utf-8"},
		body: strings.Repeat(" ", 512) + "<html>",
	},
	"nothing has no type": {handle: writing(), sends: []string{"Content-Length: 0"}, lacks: []string{"Content-Type"}},
	"what is encoded is not looked at": {
		handle: writingWith("Content-Encoding", "gzip", "<html>"), lacks: []string{"Content-Type"}, body: "<html>",
	},
	"what has a transfer coding is not looked at": {
		handle: writingWith("Transfer-Encoding", "chunked", "<html>"), lacks: []string{"Content-Type"}, body: chunked("<html>"),
	},

	// Codes that have no body.
	"204": {
		handle: answering(204, "x", "Content-Length: 1", "Content-Type: a/b"), err: http.ErrBodyNotAllowed, code: 204,
		sends: []string{"Content-Type: a/b"}, lacks: framing,
	},
	"304": {
		handle: answering(304, "x", "Content-Length: 1", "Content-Type: a/b", "Etag: \"e\""), err: http.ErrBodyNotAllowed, code: 304,
		sends: []string{"Etag: \"e\""}, lacks: append([]string{"Content-Type"}, framing...),
	},
	"304 with a transfer coding": {handle: answering(304, "", "Transfer-Encoding: chunked"), code: 304, lacks: framing},

	// A declared length.
	"a declared length is kept": {
		handle: writingWith("Content-Length", "4", "ab", "cd"), sends: []string{"Content-Length: 4"}, body: "abcd",
	},
	"more than was declared is dropped": {
		handle: writingWith("Content-Length", "3", "abc", "d"), err: http.ErrContentLength, sends: []string{"Content-Length: 3"},
		body: "abc", closes: true,
	},
	"a write that goes beyond what was declared is dropped": {
		handle: writingWith("Content-Length", "3", "abcd"), err: http.ErrContentLength, sends: []string{"Content-Length: 3"}, closes: true,
	},
	"less than was declared ends the connection": {
		handle: writingWith("Content-Length", "9", "abc"), sends: []string{"Content-Length: 9"}, body: "abc", closes: true,
	},
	"a body where none was declared": {
		handle: writingWith("Content-Length", "0", "x"), err: http.ErrContentLength, sends: []string{"Content-Length: 0"}, closes: true,
	},

	// Transfer codings that a handler sets.
	"identity ends with the connection": {
		handle: writingWith("Transfer-Encoding", "identity", "x"), sends: []string{"Connection: close"}, lacks: framing, body: "x", closes: true,
	},
	"chunked is sent once": {
		handle: writingWith("Transfer-Encoding", "chunked", "x"), sends: []string{"Transfer-Encoding: chunked"}, lacks: framing[:1], body: chunked("x"),
	},
	"another coding has no length": {
		handle: writingWith("Transfer-Encoding", "gzip", "x"), sends: []string{"Transfer-Encoding: chunked", "Transfer-Encoding: gzip"},
		lacks: framing[:1], body: chunked("x"),
	},
	"a coding is stronger than a length": {
		handle: answering(200, "x", "Transfer-Encoding: chunked", "Content-Length: 1"), sends: []string{"Transfer-Encoding: chunked"},
		lacks: framing[:1], body: chunked("x"),
		logs: `http: WriteHeader called with both Transfer-Encoding of "chunked" and a Content-Length of 1`,
	},

	// HEAD.
	"HEAD of a small body": {
		text: headRequest, handle: writing("<html>"), sends: []string{"Content-Length: 6", "Content-Type: text/html; charset=utf-8"},
	},
	"HEAD of nothing": {text: headRequest, handle: writing(), lacks: framing},
	"HEAD of a body that just fits": {
		text: headRequest, handle: writing(strings.Repeat("x", 2048)), sends: []string{"Content-Length: 2048"},
	},
	"HEAD of a large body":       {text: headRequest, handle: writing(strings.Repeat("x", 2049)), lacks: framing},
	"HEAD with a length":         {text: headRequest, handle: writingWith("Content-Length", "100000"), sends: []string{"Content-Length: 100000"}},
	"HEAD with a length, and 99": {text: headRequest, handle: writingWith("Content-Length", "100", strings.Repeat("x", 99)), sends: []string{"Content-Length: 100"}},
	"HEAD of a stream": {
		text: headRequest, lacks: framing,
		handle: func(w http.ResponseWriter) error {
			_, err := io.WriteString(w, "x")
			return errors.Join(err, http.NewResponseController(w).Flush())
		},
	},
	"HEAD of a reader": {
		text: headRequest, sends: []string{"Content-Length: 100000"},
		handle: func(w http.ResponseWriter) error {
			w.Header().Set("Content-Length", "100000")
			n, err := w.(io.ReaderFrom).ReadFrom(bytes.NewReader(make([]byte, 100_000)))
			if n != 100_000 {
				err = fmt.Errorf("%d bytes read, %w", n, err)
			}
			return err
		},
	},
}

func TestTheWireOfHandlers(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		for name, c := range wireCases {
			t.Run(name, func(t *testing.T) { c.check(t, e) })
		}
	})
}

// What follows a 101 is not HTTP/1.1. net/http's server reads it all the same.
func TestNothingIsServedBehindAChangeOfProtocols(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		wireCase{
			handle: answering(101, "x", "Connection: Upgrade", "Upgrade: y"), err: http.ErrBodyNotAllowed, code: 101,
			sends: []string{"Upgrade: y", "Connection: Upgrade"}, lacks: framing, closes: e.native(),
		}.check(t, e)
	})
}

// check has c answer the first of two requests.
func (c wireCase) check(t *testing.T, e engine) {
	t.Helper()
	book := &logBook{}
	failed := make(chan error, 1)
	address := e.serving(t, &kourier.Server{
		ErrorLog: log.New(book, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				failed <- c.handle(w)
			}
		}),
	})
	text := c.text
	if text == "" {
		text = helloRequest
	}
	got := e.dial(t, address).send(text + "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest()
	require.ErrorIs(t, soon(t, failed), c.err)
	head, rest, whole := strings.Cut(got, "\r\n\r\n")
	require.True(t, whole, "%q", got)
	c.checkHead(t, strings.Split(head, "\r\n"))
	require.Equal(t, c.body, rest[:min(len(rest), len(c.body))])
	rest = rest[len(c.body):]
	if c.closes {
		require.Empty(t, rest)
	} else {
		require.True(t, strings.HasPrefix(rest, "HTTP/1.1 200 OK\r\n"), "%q", rest)
	}
	require.Contains(t, book.String(), c.logs)
	require.Equal(t, c.logs == "", book.String() == "", "%s", book)
}

// checkHead looks for what c wants in the lines of a head.
func (c wireCase) checkHead(t *testing.T, lines []string) {
	t.Helper()
	code := c.code
	if code == 0 {
		code = 200
	}
	require.Equal(t, fmt.Sprintf("HTTP/1.1 %d %s", code, http.StatusText(code)), lines[0])
	linesOf := func(name string, lines []string) (all []string) {
		for _, line := range lines {
			if other, _, _ := strings.Cut(line, ":"); strings.EqualFold(name, other) {
				all = append(all, line)
			}
		}
		return all
	}
	for _, line := range c.sends {
		name, _, _ := strings.Cut(line, ":")
		wanted := linesOf(name, c.sends)
		got := linesOf(name, lines[1:])
		if strings.EqualFold(name, "Transfer-Encoding") { // the order is not ours
			slices.Sort(got)
		}
		require.Equal(t, wanted, got)
	}
	for _, name := range c.lacks {
		require.Empty(t, linesOf(name, lines[1:]))
	}
}

func TestTheDateIsThatOfTheAnswer(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		p := e.dial(t, e.handle(t, sayPath))
		for range 2 {
			begun := time.Now().Truncate(time.Second)
			text := p.ask(helloRequest).Header.Get("Date")
			date, err := time.Parse(http.TimeFormat, text)
			require.NoError(t, err)
			require.Equal(t, text, date.Format(http.TimeFormat))
			// The clock of a date may be a second behind, never ahead.
			require.False(t, date.Before(begun.Add(-time.Second)) || date.After(time.Now()), "%v, begun %v", date, begun)
		}
	})
}

// --------------------------------------------------------- the writer's methods

// Middleware looks for these, and for combinations of them.
func TestTheWriterIsAllThatItMayBe(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, _ *http.Request) {
			_, all := w.(interface {
				http.Flusher
				http.Hijacker
				io.ReaderFrom
				io.StringWriter
				http.CloseNotifier //nolint:staticcheck // deprecated, and still used
			})
			_, pusher := w.(http.Pusher)
			fmt.Fprint(w, all, pusher)
		})
		require.Equal(t, "true false", e.dial(t, address).ask(helloRequest).body)
	})
}

// A wrapped writer has no method but those of http.ResponseWriter.
type wrapped struct{ http.ResponseWriter }

// An unwrapping writer tells what it wraps.
type unwrapping struct{ wrapped }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestAControllerFindsTheWriterInOthers(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		errs := make(chan []error, 2)
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			wrapper := http.ResponseWriter(unwrapping{wrapped{unwrapping{wrapped{w}}}})
			if r.URL.Path == "/deaf" {
				wrapper = wrapped{w}
			}
			control := http.NewResponseController(wrapper)
			later := time.Now().Add(time.Hour)
			found := []error{control.SetReadDeadline(later), control.SetWriteDeadline(later), control.EnableFullDuplex(), control.Flush()}
			conn, _, err := control.Hijack()
			if err == nil {
				_ = conn.Close()
			}
			errs <- append(found, err)
		})
		e.dial(t, address).send(helloRequest)
		for _, err := range soon(t, errs) {
			require.NoError(t, err)
		}
		e.dial(t, address).send(strings.Replace(helloRequest, "/", "/deaf", 1))
		for _, err := range soon(t, errs) {
			require.ErrorIs(t, err, http.ErrNotSupported)
		}
	})
}

// ------------------------------------------------------------- a failed answer

func TestNothingIsServedBehindAWriteThatFailed(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		var served atomic.Int64
		failed := make(chan error, 2)
		srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			served.Add(1)
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second))
			_, err := w.Write(make([]byte, 1<<20))
			failed <- err
		})}
		p := e.dial(t, e.serving(t, srv)).send(strings.Repeat(helloRequest, 3))
		require.ErrorIs(t, soon(t, failed), os.ErrDeadlineExceeded)
		_, _ = io.Copy(io.Discard, p)
		eventually(t, func() bool { return hasNone(srv.Stats()) }, "it is gone")
		require.EqualValues(t, 1, served.Load())
	})
}

// RFC 9112 §9.6: so that no reset takes the answer away from a client that is still sending.
func TestAConnectionLingersBehindItsLastAnswer(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		const lingers = 500 * time.Millisecond
		srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "enough")
		})}
		p := e.dial(t, e.serving(t, srv)).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nsome")
		begun := time.Now()
		require.Equal(t, "enough", p.answer().body)
		p.mustEnd()
		ended := time.Since(begun)
		eventually(t, func() bool { return hasNone(srv.Stats()) }, "it is closed")
		closed := time.Since(begun)
		require.Less(t, ended, closed, "the client knows before")
		require.GreaterOrEqual(t, closed, lingers-50*time.Millisecond) // the core's clock ticks
		require.Less(t, closed, lingers+5*time.Second)
	})
}
