package kourier

import (
	"net/http"
	"runtime"
	"strconv"

	"github.com/kourier-go/kourier/internal/abi"
)

// This file moves answers into the core: a Response is begun, its head and body
// are placed, it is finished.

// begin makes w the answer to raw.
func (w *Response) begin(raw *abi.Request, index uint32) {
	w.raw = raw
	w.index = index
	w.start = w.batch.OutSize
	w.code = http.StatusOK
	w.state = stateOpen
	w.fast = raw.Flags&(abi.RequestKeepAlive|abi.RequestHTTP10|abi.RequestBodyOpen) == abi.RequestKeepAlive &&
		raw.Method != abi.MethodHead && raw.Method != abi.MethodConnect
	if w.dirty {
		w.reset()
	}
}

func (w *Response) reset() {
	w.dirty = false
	w.closing, w.aborted, w.sent, w.blocked, w.gone = false, false, false, false, false
	w.typed, w.undated, w.chunkOpen = false, false, false
	w.declared, w.written = -1, 0
	w.fields = w.fields[:0]
	if cap(w.fields) > fieldsKeepMax {
		w.fields = nil
	}
	w.body = w.body[:0]
}

// touch leaves the fast path.
func (w *Response) touch() { w.fast, w.dirty = false, true }

// persists reports whether the connection can go on after this answer: not behind
// a body that nobody has read.
func (w *Response) persists() bool {
	return w.raw.Flags&(abi.RequestKeepAlive|abi.RequestBodyOpen) == abi.RequestKeepAlive
}

func (w *Response) isHead() bool    { return w.raw.Method == abi.MethodHead }
func (w *Response) isConnect() bool { return w.raw.Method == abi.MethodConnect }

// finish completes the answer after its handler has returned. It reports whether
// the later requests of the connection must be left alone.
func (w *Response) finish() (stop bool) {
	switch w.state {
	case stateOpen:
		if !w.fast || !w.sendTemplate("", nil) {
			w.touch()
			w.end()
		}
	case stateStreaming:
		w.end()
	case statePassed:
		w.canned(notFound)
	}
	if !w.dirty {
		w.raw.AnswerFlags = abi.AnswerDone
		return false
	}
	flags := uint8(abi.AnswerDone)
	switch {
	case w.aborted || w.gone:
		w.discard()
		flags |= abi.AnswerAbort
	case w.closing:
		flags |= abi.AnswerClose
	}
	w.raw.AnswerFlags = flags
	return flags != abi.AnswerDone || w.blocked
}

// fail makes the best of a handler that has panicked: 500 if nothing has left
// yet, else the connection ends where it stands.
func (w *Response) fail() {
	w.touch()
	w.closing = true
	switch {
	case !w.sent:
		w.discard()
		w.canned(internalError)
	case w.state != stateDone:
		w.abort()
	}
}

// abort ends the connection without completing the answer.
func (w *Response) abort() {
	w.touch()
	w.aborted = true
	w.state = stateDone
}

// fallShort ends the answer of a handler that has written less than it declared:
// a client must not take what is there for the whole.
func (w *Response) fallShort() {
	w.worker.reportf("kourier: a handler wrote %d of the %d bytes of its Content-Length", w.written, w.declared)
	w.abort()
}

// discard takes back the bytes of this answer that have not left yet.
func (w *Response) discard() {
	w.batch.OutSize = w.start
	w.raw.AnswerOffset, w.raw.AnswerSize = 0, 0
	if !w.sent {
		w.raw.AnswerCode = 0
	}
}

// end completes the answer of a handler that used Write.
func (w *Response) end() {
	if w.state == stateStreaming {
		w.endStream()
		return
	}
	kind := statusFraming(w.code, w.isConnect())
	size := w.written
	contentType := ""
	if kind == framedByLength {
		switch {
		case w.isHead() && w.declared >= 0:
			size = w.declared
		case w.isHead() && size > streamThreshold:
			kind = w.streamFraming()
		case w.declared >= 0 && w.declared != size:
			w.fallShort()
			return
		}
		contentType = w.guessType()
	}
	w.answer(kind, size, contentType, w.body)
}

// guessType returns what net/http would send for a handler that does not say
// what it writes; "" if the handler has said it.
func (w *Response) guessType() string {
	if w.typed || len(w.body) == 0 {
		return ""
	}
	if _, encoded := w.fields.find("Content-Encoding"); encoded > 0 {
		return ""
	}
	return http.DetectContentType(w.body)
}

// answer places a whole answer. size is what a GET's body would have, and
// contentType stands in no field that was Set.
func (w *Response) answer(kind framing, size int64, contentType string, body []byte) {
	if kind != framedByLength || w.isHead() {
		body = nil
	}
	w.placeHead(kind, size, contentType)
	w.placeBody(body)
	w.state = stateDone
}

// canned places c, whatever was prepared.
func (w *Response) canned(c *CannedResponse) {
	prepared, body := c.head, c.body
	w.code = c.code
	if statusFraming(c.code, w.isConnect()) == framedByStatus {
		prepared, body = c.head[:c.unframedSize], nil
	} else if w.isHead() {
		body = nil
	}
	w.closing = w.closing || !w.persists() || w.isConnect() && c.code < 300
	w.place(&head{prepared: prepared, date: w.batch.DateLine(), connection: w.connection()})
	w.placeBody(body)
	w.state = stateDone
}

// placeHead composes the head and decides with it whether the connection closes.
func (w *Response) placeHead(kind framing, size int64, contentType string) {
	w.closing = w.closing || kind == framedByClose || !w.persists() ||
		w.isConnect() && w.code < 300
	if w.code == http.StatusNotModified {
		contentType = "" // RFC 9110 §15.4.5
		w.fields = w.fields.remove("Content-Type")
	}
	h := head{code: w.code, contentType: contentType, fields: w.fields, connection: w.connection(), framing: kind, size: size}
	if !w.undated {
		h.date = w.batch.DateLine()
	}
	w.place(&h)
}

// connection returns the line that tells the client whether the connection
// persists, where its version does not imply it, RFC 9112 §9.3 and §9.6.
func (w *Response) connection() string {
	switch {
	case w.closing:
		return connectionClose
	case w.raw.Flags&abi.RequestHTTP10 != 0:
		return connectionKeepAlive
	}
	return ""
}

// place puts a head into Out, after emptying it if it is too full.
func (w *Response) place(h *head) {
	w.raw.AnswerCode = uint16(w.code)
	if !w.makeRoom(h.sizeMax()) {
		w.push(h.append(nil))
		return
	}
	w.record(len(h.append(w.batch.Free()[:0])))
}

// makeRoom empties Out unless it has room for size bytes. It reports whether it has.
func (w *Response) makeRoom(size int) bool {
	if size > len(w.batch.Free()) {
		w.push(nil)
	}
	return size <= len(w.batch.Free())
}

// placeBody puts body behind what stands in Out if it is small, and hands it
// over without a copy if not.
func (w *Response) placeBody(body []byte) {
	if len(body) > directBodyMax || len(body) > len(w.batch.Free()) {
		w.push(body)
		return
	}
	w.record(copy(w.batch.Free(), body))
}

// record makes the next size bytes of Out a part of this answer.
func (w *Response) record(size int) {
	w.batch.OutSize += uint32(size)
	w.raw.AnswerOffset = w.start
	w.raw.AnswerSize = w.batch.OutSize - w.start
}

// push has the core send what stands in Out, and data behind it.
func (w *Response) push(data []byte) {
	if w.gone {
		return
	}
	w.sent = w.sent || len(data) > 0 || w.raw.AnswerSize > 0
	status := w.worker.write(w.batch, w.index, abi.NoEscape(data))
	runtime.KeepAlive(data)
	w.start = w.batch.OutSize
	w.dirty = true
	switch status {
	case abi.OK:
	case abi.ErrBlocked:
		w.blocked = true
	default:
		w.gone = true
	}
}

// streamFraming returns how a body of unknown size is framed for this client.
func (w *Response) streamFraming() framing {
	if w.raw.Flags&abi.RequestHTTP10 != 0 { // RFC 9112 §6.1: no transfer coding for HTTP/1.0
		return framedByClose
	}
	return framedByChunks
}

// stream sends what was collected, after the head if need be, and takes p.
func (w *Response) stream(p []byte) {
	if w.state == stateOpen {
		w.kind = w.streamFraming()
		if w.declared >= 0 {
			w.kind = framedByLength
		}
		if lack := sniffSize - len(w.body); lack > 0 {
			w.body = append(w.body, p[:lack]...)
			p = p[lack:]
		}
		w.placeHead(w.kind, w.declared, w.guessType())
		w.state = stateStreaming
	}
	w.piece(w.body)
	w.body = w.body[:0]
	if len(p) <= directBodyMax {
		w.body = append(w.body, p...)
		return
	}
	w.piece(p)
}

// chunkLineMax bounds what stands between the data of two chunks, in bytes.
const chunkLineMax = 32

// lastChunk follows the data of the chunk before it.
var lastChunk = []byte("\r\n0\r\n\r\n")

// piece places a part of the body, as a chunk if the body is chunked, RFC 9112 §7.1.
func (w *Response) piece(data []byte) {
	if len(data) == 0 {
		return
	}
	if w.kind == framedByChunks {
		var room [chunkLineMax]byte
		line := room[:0]
		if w.chunkOpen {
			line = append(line, lineEnd...)
		}
		line = strconv.AppendInt(line, int64(len(data)), 16)
		w.placeBody(append(line, lineEnd...))
		w.chunkOpen = true
	}
	w.placeBody(data)
}

// endStream sends what is left of the body, and its end.
func (w *Response) endStream() {
	if w.declared >= 0 && w.written != w.declared {
		w.fallShort()
		return
	}
	w.piece(w.body)
	w.body = w.body[:0]
	if w.kind == framedByChunks {
		w.placeBody(lastChunk)
	}
	w.state = stateDone
}
