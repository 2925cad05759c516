package kourier

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/kourier-go/kourier/internal/abi"
)

const (
	// directBodyMax is the largest body that is copied behind its head into the
	// core's buffer, in bytes. Larger ones are handed over where they are.
	directBodyMax = 16 << 10

	// streamThreshold is how much Write collects before the head goes out, in bytes.
	streamThreshold = 64 << 10

	// fieldsKeepMax bounds the buffer for fields that a worker keeps, in bytes.
	fieldsKeepMax = 64 << 10

	// sniffSize is how much of a body http.DetectContentType looks at, in bytes.
	sniffSize = 512
)

// A Response is the answer to the request that came with it. Send or Canned
// answers with one call. Otherwise Write collects the body, and the answer is
// complete when the handler returns.
//
// The Response writes the status line, Date, Connection, and the field that
// frames the body: Content-Length if the size is known, else chunks, or the end
// of the connection for an HTTP/1.0 client (RFC 9112 §6.3). HEAD is answered
// with the head that GET would have got. Answers 204, 205 and 304, and 2xx to
// CONNECT, have no body: what is written is dropped.
//
// A Response is valid until its handler returns, like its [Request], and must
// not be used by another goroutine.
type Response struct {
	_      [0]func()
	worker *worker
	batch  *abi.Batch
	raw    *abi.Request
	index  uint32
	start  uint32 // where this answer begins in batch.Out
	code   int
	state  responseState
	// fast: nothing was set but the status, and the answer needs no Connection
	// field, so that a template will do.
	fast bool
	// dirty: what stands below is not as reset leaves it.
	dirty bool

	closing   bool    // the connection closes after this answer
	aborted   bool    // the connection closes now, this answer stays incomplete
	sent      bool    // bytes of this answer have left batch.Out
	blocked   bool    // the core asks for no more answers on this connection
	gone      bool    // the connection is lost
	typed     bool    // Content-Type was set, or set to none
	undated   bool    // Date was set, or set to none
	chunkOpen bool    // the last chunk lacks its line end
	kind      framing // in stateStreaming
	declared  int64   // Content-Length as set by the handler; -1: not set
	written   int64   // bytes that Write has taken

	fields    fieldLines
	body      []byte // what Write has taken and what is not on its way
	templates [8]headTemplate
}

type responseState uint8

const (
	stateDone      responseState = iota // answered, or no handler is running
	stateOpen                           // the head can still be changed
	stateStreaming                      // the head is on its way
	statePassed
)

// Status sets the status code, 200 unless set. It returns w, for chaining. It
// has no effect once the head is on its way. A code outside of 200 to 999 cannot
// end a request: it is logged, and 500 takes its place.
func (w *Response) Status(code int) *Response {
	if w.state != stateOpen {
		return w
	}
	if code < statusCodeMin || code > statusCodeMax {
		w.worker.reportf("kourier: Response.Status: %d is not a final status code", code)
		code = http.StatusInternalServerError
	}
	w.code = code
	return w
}

// Set sets a field of the head, in place of earlier ones of that name in any
// case. It returns w, for chaining. It has no effect once the head is on its
// way, or if name is not a token (RFC 9110 §5.1). Control bytes in value are sent
// as spaces.
//
// Some names are special. Content-Type and Date set to "" are not sent at all.
// Content-Length declares the size of what Write is going to be given, or, for
// HEAD, would be; Send ignores it. Connection with the option "close" has the
// effect of Close. Other options of Connection, and Transfer-Encoding, are
// dropped: the framing is the Response's own.
func (w *Response) Set(name, value string) *Response {
	if w.state == stateOpen && isToken(name) && !w.special(name, value) {
		w.fields = w.fields.set(name, value)
	}
	return w
}

// Add adds a field of the head beside earlier ones of that name, as Set-Cookie
// needs it. Otherwise it is Set; for the names that are special there, it is Set.
func (w *Response) Add(name, value string) *Response {
	if w.state == stateOpen && isToken(name) && !w.special(name, value) {
		if strings.EqualFold(name, "Content-Type") || strings.EqualFold(name, "Date") {
			w.fields = w.fields.remove(name)
		}
		w.fields = appendField(w.fields, name, value)
	}
	return w
}

// special does for a field what its name demands. It reports whether that is all:
// else the field goes out as it is.
func (w *Response) special(name, value string) (done bool) {
	w.touch()
	switch len(name) {
	case len("Date"):
		if strings.EqualFold(name, "Date") {
			w.undated = true
			if value == "" {
				w.fields = w.fields.remove(name)
				return true
			}
		}
	case len("Connection"):
		if strings.EqualFold(name, "Connection") {
			w.closing = w.closing || listsClose(value)
			return true
		}
	case len("Content-Type"):
		if strings.EqualFold(name, "Content-Type") {
			w.typed = true
			if value == "" {
				w.fields = w.fields.remove(name)
				return true
			}
		}
	case len("Content-Length"):
		if strings.EqualFold(name, "Content-Length") {
			w.declare(value)
			return true
		}
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// declare takes a Content-Length. One that is no number, or is smaller than what
// was written already, declares nothing.
func (w *Response) declare(value string) {
	w.declared = -1
	if size, err := strconv.ParseUint(trimOWS(value), 10, 63); err == nil && int64(size) >= w.written {
		w.declared = int64(size)
	}
}

// listsClose reports whether a Connection field lists the option "close", RFC 9110 §7.6.1.
func listsClose(value string) bool {
	for more := true; more; {
		var option string
		option, value, more = strings.Cut(value, ",")
		if strings.EqualFold(trimOWS(option), "close") {
			return true
		}
	}
	return false
}

// Close closes the connection after this answer. If the head is not on its way
// yet, it says so with "Connection: close".
func (w *Response) Close() {
	if w.raw != &noRequest {
		w.touch()
		w.closing = true
	}
}

// Pass declines the request, which Server.Handler answers then, or 404 if there is
// none. What Status, Set and Write have prepared is dropped. Pass has no effect once the head is on its way.
func (w *Response) Pass() {
	if w.state == stateOpen {
		w.touch()
		w.state = statePassed
	}
}

// Send answers with body, which is not kept after the return. contentType is the
// Content-Type; if it is empty, none is sent but one that was Set. Status and Set
// have their effect before Send, none after it. After Write, body is what Write
// is given last. Once the request is answered, Send has no effect.
func (w *Response) Send(contentType string, body []byte) {
	if w.fast && len(body) <= directBodyMax && w.sendTemplate(contentType, body) {
		return
	}
	w.send(contentType, body)
}

// sendTemplate answers with two copies if it can.
func (w *Response) sendTemplate(contentType string, body []byte) bool {
	t := &w.templates[(len(contentType)^w.code)&(len(w.templates)-1)]
	if !t.fits(w.code, contentType) {
		if statusFraming(w.code, false) != framedByLength || len(contentType) > templateTypeSizeMax {
			return false
		}
		t.build(w.code, contentType, w.batch.DateLine())
	}
	if t.bodySize != len(body) {
		t.resize(len(body))
	}
	out := w.batch.Free()
	size := len(t.head) + len(body)
	if size > len(out) {
		return false
	}
	copy(out[copy(out, t.head):], body)
	w.fast = false
	w.state = stateDone
	w.raw.AnswerCode = uint16(w.code)
	w.record(size)
	return true
}

func (w *Response) send(contentType string, body []byte) {
	if w.state != stateOpen && w.state != stateStreaming {
		return
	}
	w.touch()
	if w.written > 0 {
		if contentType != "" {
			w.Set("Content-Type", contentType)
		}
		_, _ = w.Write(body) // what it refuses it has dropped, as documented
		w.end()
		return
	}
	if w.typed && contentType != "" {
		w.fields = w.fields.remove("Content-Type")
	}
	size := int64(len(body))
	if w.isHead() && w.declared >= 0 {
		size = w.declared
	}
	w.answer(statusFraming(w.code, w.isConnect()), size, contentType, body)
}

// Write adds p to the body; p is not kept after the return. Up to 64 KiB are
// collected. Then the head goes out, and the body behind it in pieces; the core
// keeps what the client is slow to read, so a handler that may write much should
// bound it.
//
// Unless a Content-Type is Set, [http.DetectContentType] guesses one from the
// first 512 bytes, if there is no Content-Encoding either.
//
// The error is [http.ErrBodyNotAllowed] if the status allows no body,
// [http.ErrContentLength] if p exceeds a Content-Length that was Set (what
// exceeds it is dropped), [ErrRequestDone] if the request is answered, and one
// that wraps [net.ErrClosed] if the connection is lost. A handler that writes
// less than the Content-Length it has Set loses the connection.
func (w *Response) Write(p []byte) (int, error) {
	if w.state != stateOpen && w.state != stateStreaming {
		return 0, ErrRequestDone
	}
	w.touch()
	if statusFraming(w.code, w.isConnect()) != framedByLength {
		return 0, http.ErrBodyNotAllowed
	}
	if w.gone {
		return 0, errPeerGone
	}
	var err error
	if w.declared >= 0 && int64(len(p)) > w.declared-w.written {
		p = p[:w.declared-w.written]
		err = http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.isHead() {
		if room := sniffSize - len(w.body); room > 0 {
			w.body = append(w.body, p[:min(room, len(p))]...)
		}
		return len(p), err
	}
	if len(w.body)+len(p) <= streamThreshold {
		w.body = append(w.body, p...)
		return len(p), err
	}
	w.stream(p)
	if w.gone {
		err = errPeerGone
	}
	return len(p), err
}

// WriteString is Write for a string. It makes no copy of s.
func (w *Response) WriteString(s string) (int, error) { return w.Write(abi.StringBytes(s)) }

// Canned answers with c. What Status, Set and Write have prepared is dropped.
// Canned has no effect once the head is on its way.
func (w *Response) Canned(c *CannedResponse) {
	if w.fast && c.direct {
		date := w.batch.DateLine()
		out := w.batch.Free()
		if size := len(c.head) + len(date) + len(c.tail); size <= len(out) {
			n := copy(out, c.head)
			n += copy(out[n:], date)
			copy(out[n:], c.tail)
			w.fast = false
			w.state = stateDone
			w.raw.AnswerCode = uint16(c.code)
			w.record(size)
			return
		}
	}
	if w.state == stateOpen {
		w.touch()
		w.canned(c)
	}
}
