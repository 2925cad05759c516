package kourier

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// This file makes the head of an answer out of what a handler has set, in two
// steps: freeze, when the handler says WriteHeader or writes, and commit, when
// enough is known of the body to decide how it is framed.

// A frozenHeader is what must be known of a handler's header to commit it, beside
// the lines that stand encoded in the sender.
type frozenHeader struct {
	coding           string // the first Transfer-Encoding, "" for none
	hasLength        bool   // Content-Length is a key, so that none is added
	hasDate          bool
	hasType          bool
	encoded          bool // Content-Encoding is set, so that the body's bytes tell nothing of its type
	hasConnection    bool
	closes, upgrades bool // options of Connection
	trailers         bool // there are going to be trailers
}

// bodyAllowed reports whether answers with this status can have a body, RFC 9110 §6.4.1.
func bodyAllowed(code int) bool {
	return code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified
}

// first returns the first value of a field, "" if it has none.
func first(values []string) string {
	if len(values) > 0 {
		return values[0]
	}
	return ""
}

// freeze takes the status and the header as they are. sender.mu is held.
func (w *responseWriter) freeze(code int) {
	w.wroteHeader = true
	w.frozenSize = len(w.header)
	w.status = code
	s := w.sender
	s.fields, s.connection = s.fields[:0], s.connection[:0]
	if len(w.header) == 0 {
		return
	}
	f := &w.frozen
	list := s.list(w.header)
	for _, field := range list {
		name, values := field.name, field.values
		switch name {
		case "Content-Length":
			f.hasLength = true
		case "Date":
			f.hasDate = true
		case "Content-Type":
			f.hasType = true
		case "Content-Encoding":
			f.encoded = first(values) != ""
		case "Transfer-Encoding":
			f.coding = first(values)
		case "Connection":
			f.hasConnection = true
			f.closes, f.upgrades = listsOption(values, "close"), listsOption(values, "upgrade")
			for _, value := range values {
				s.connection = appendField(s.connection, name, value)
			}
		case "Trailer":
			w.freezeTrailers(values)
		default:
			f.trailers = f.trailers || strings.HasPrefix(name, http.TrailerPrefix)
		}
	}
	if f.hasLength {
		w.freezeLength()
	}
	s.appendFields(list, w.isSpecial)
}

// freezeLength takes the Content-Length, when the Transfer-Encoding is known.
func (w *responseWriter) freezeLength() {
	text := first(w.header["Content-Length"])
	if text == "" {
		return
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		w.engine.logf("http: invalid Content-Length of %q", text)
		delete(w.header, "Content-Length")
		return
	}
	if coding := w.frozen.coding; coding != "" && coding != "identity" { // RFC 9112 §6.2
		w.engine.logf("http: WriteHeader called with both Transfer-Encoding of %q and a Content-Length of %d", coding, size)
		return
	}
	w.declared = size
}

// freezeTrailers takes the names in Trailer fields.
func (w *responseWriter) freezeTrailers(lists []string) {
	for _, list := range lists {
		w.frozen.trailers = true
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(trimOWS(name))
			if name != "" && trailerAllowed(name) {
				w.sender.trailers = append(w.sender.trailers, name)
			}
		}
	}
}

func (w *responseWriter) hasPrefixedTrailers() bool {
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// trailerAllowed reports whether a field may stand behind the body: not those that
// frame it, route it, say how to read it or authenticate, RFC 9110 §6.5.1.
func trailerAllowed(name string) bool {
	switch name {
	case "Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range",
		"Content-Type", "Expect", "Host", "Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate",
		"Proxy-Authorization", "Proxy-Connection", "Range", "Realm", "Te", "Trailer", "Transfer-Encoding", "Www-Authenticate":
		return false
	}
	return !strings.HasPrefix(name, "If-")
}

// isSpecial reports whether commit has the last word on a field, or this answer must not have it.
func (w *responseWriter) isSpecial(name string) bool {
	switch name {
	case "Connection", "Content-Length":
		return true
	case "Transfer-Encoding":
		coding := w.frozen.coding
		return w.isHead || w.http10 || !bodyAllowed(w.status) || w.declared >= 0 ||
			coding == "" || coding == "identity" || coding == "chunked"
	case "Content-Type":
		return w.status == http.StatusNotModified // RFC 9110 §15.4.5
	}
	return strings.HasPrefix(name, http.TrailerPrefix)
}

// A headerField is one key of a header.
type headerField struct {
	name   string
	values []string
}

// usualNames are those of most headers, sorted. To look for them costs less than to
// range over the map.
var usualNames = [...]string{"Content-Length", "Content-Type"}

// list returns what header holds, sorted by name, until the next call.
func (s *sender) list(header http.Header) []headerField {
	list := s.header[:0]
	if len(header) <= len(usualNames) {
		for _, name := range usualNames {
			if values, ok := header[name]; ok {
				list = append(list, headerField{name, values})
			}
		}
	}
	if len(list) < len(header) {
		list = list[:0]
		for name, values := range header {
			list = append(list, headerField{name, values})
		}
		slices.SortFunc(list, func(a, b headerField) int { return strings.Compare(a.name, b.name) })
	}
	s.header = list
	return list
}

// appendFields encodes fields, but for the names that skip is true for and those that
// are no tokens. It ends what list has returned.
func (s *sender) appendFields(list []headerField, skip func(name string) bool) {
	for _, field := range list {
		if !isToken(field.name) || skip(field.name) {
			continue
		}
		for _, value := range field.values {
			s.fields = appendField(s.fields, field.name, value)
		}
	}
	clear(list)
}

// commit decides how the body is framed and whether the connection persists, and
// puts the head on its way. data is the body, if whole is true, or its first
// piece. sender.mu is held.
func (w *responseWriter) commit(data []byte, whole bool) {
	w.committed = true
	f := &w.frozen
	size := w.declared
	allowed := bodyAllowed(w.status)
	if whole && size < 0 && allowed && f.coding == "" && !f.hasLength && !f.trailers && !w.isTunnel() && (!w.isHead || len(data) > 0) {
		size = int64(len(data))
		w.declared = size
	}
	h := head{code: w.status, fields: w.sender.fields, framing: framedByStatus}
	switch {
	case !allowed || w.isTunnel():
		// An empty tunnel that nobody has hijacked leads back to this server, as net/http has it.
		through := w.isTunnel() && !(whole && len(data) == 0)
		w.closing = w.closing || through || w.status == http.StatusSwitchingProtocols
	case size >= 0:
		h.framing, h.size = framedByLength, size
	case w.isHead:
	case !w.http10 && f.coding != "identity":
		h.framing = framedByChunks
		w.chunking = true
	default:
		w.closing = true
	}
	serverCloses := w.engine.closing() || !w.engine.keepAlives()
	w.closing = w.closing || f.closes || serverCloses
	w.makeWay()
	if !f.hasDate {
		h.date = w.engine.dateLine()
	}
	if allowed && !f.encoded && !f.hasType && f.coding == "" && len(data) > 0 {
		h.contentType = http.DetectContentType(data)
	}
	switch {
	case w.closing && (!f.closes || serverCloses) && !(w.status == http.StatusSwitchingProtocols && f.upgrades):
		h.connection = connectionClose // for HTTP/1.0 too: the status line says 1.1
	case f.hasConnection:
		w.sender.fields = append(w.sender.fields, w.sender.connection...)
		h.fields = w.sender.fields
	case w.http10 && !w.closing:
		h.connection = connectionKeepAlive
	}
	w.engine.counters.responses.count(w.status)
	s := w.sender
	s.pending = h.append(s.pending)
}

// isTunnel reports whether what follows the head is no HTTP any more, RFC 9110 §9.3.6.
func (w *responseWriter) isTunnel() bool { return w.isConnect && w.status >= 200 && w.status < 300 }

// makeWay reads what is left of the request's body before the answer begins,
// because many clients read nothing until they have sent everything. Where that
// is too much, the connection closes.
func (w *responseWriter) makeWay() {
	body := w.exchange.body
	if body == nil || body.link == nil || w.closing {
		return
	}
	if w.expected && !body.atEnd() {
		// Whether the client is going to send the body after all is its choice.
		w.closing = true
		return
	}
	if w.fullDuplex || body.atEnd() {
		return
	}
	if len(w.sender.pending) > 0 {
		w.sender.send(nil) // earlier answers do not wait for this body
	}
	w.closing = !body.drain(w.engine.drainMax)
}

// finish completes the answer when the handler has returned. It reports whether
// the connection can have another one.
func (w *responseWriter) finish() (keep bool) {
	w.exchange.context.end()
	body := w.exchange.body
	clean := body.settle()
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	w.forgetContinue()
	w.done.Store(true)
	if w.hijacked {
		return false
	}
	w.closing = w.closing || !clean
	if !w.wroteHeader {
		w.freeze(http.StatusOK)
	}
	if w.mayHaveTrailers() && !w.committed {
		w.frozen.trailers = w.frozen.trailers || w.hasPrefixedTrailers()
	}
	if !w.committed {
		w.commit(s.body, true)
	}
	w.flushBody()
	if w.chunking {
		w.endChunks()
	}
	if body != nil && body.link != nil && !w.closing && !body.atEnd() { // the answer has begun before the body was read
		s.send(nil)
		w.closing = !body.drain(w.engine.drainMax)
	}
	if w.declared >= 0 && w.declared != w.written || w.dropped { // the client would wait, or misses something
		w.closing = w.closing || !w.isHead && bodyAllowed(w.status)
	}
	s.next()
	return !w.closing && s.err == nil
}

// mayHaveTrailers reports whether the header may have been changed since it was frozen.
func (w *responseWriter) mayHaveTrailers() bool {
	return w.touched || w.frozen.trailers || len(w.header) != w.frozenSize
}

// endChunks puts the last chunk and the trailers on their way, RFC 9112 §7.1.2.
func (w *responseWriter) endChunks() {
	s := w.sender
	s.pending = append(s.pending, "0\r\n"...)
	s.fields = s.fields[:0]
	for _, name := range s.trailers {
		for _, value := range w.header[name] {
			s.fields = appendField(s.fields, name, value)
		}
	}
	if w.mayHaveTrailers() {
		for prefixed, values := range w.header {
			name, found := strings.CutPrefix(prefixed, http.TrailerPrefix)
			for i := 0; found && isToken(name) && i < len(values); i++ {
				s.fields = appendField(s.fields, name, values[i])
			}
		}
	}
	s.pending = append(s.pending, s.fields...)
	s.pending = append(s.pending, lineEnd...)
}

// A dateCache holds the Date line of the current second.
type dateCache struct {
	line atomic.Pointer[cachedDate]
}

type cachedDate struct {
	until time.Duration // since dateEpoch: when a second of the wall clock ends
	text  []byte
}

// dateEpoch is there because the time since then costs half of what the time of day does.
var dateEpoch = time.Now()

// dateLine returns the Date line for now, RFC 9110 §6.6.1. It must not be written to.
func (d *dateCache) dateLine() []byte { return d.dateLineAt(time.Since(dateEpoch), time.Now) }

// dateLineAt is dateLine at a time since dateEpoch, which now has the date of.
func (d *dateCache) dateLineAt(at time.Duration, now func() time.Time) []byte {
	if cached := d.line.Load(); cached != nil && at < cached.until {
		return cached.text
	}
	date := now()
	text := date.UTC().AppendFormat([]byte("Date: "), http.TimeFormat)
	text = append(text, lineEnd...)
	d.line.Store(&cachedDate{at + time.Second - time.Duration(date.Nanosecond()), text})
	return text
}
