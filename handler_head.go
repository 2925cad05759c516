package kourier

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
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
func (a *answer) freeze(code int) {
	header := a.exchange.writer.header
	a.exchange.writer.touched = false
	a.wroteHeader = true
	a.frozenSize = len(header)
	a.status = code
	s := a.sender
	s.fields, s.connection = s.fields[:0], s.connection[:0]
	if len(header) == 0 {
		return
	}
	f := &a.frozen
	list := s.list(header)
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
			a.freezeTrailers(values)
		default:
			f.trailers = f.trailers || strings.HasPrefix(name, http.TrailerPrefix)
		}
	}
	if f.hasLength {
		a.freezeLength()
	}
	s.appendFields(list, a.isSpecial)
}

// freezeLength takes the Content-Length, when the Transfer-Encoding is known.
func (a *answer) freezeLength() {
	header := a.exchange.writer.header
	text := first(header["Content-Length"])
	if text == "" {
		return
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		a.engine.logf("http: invalid Content-Length of %q", text)
		delete(header, "Content-Length")
		return
	}
	if coding := a.frozen.coding; coding != "" && coding != "identity" { // RFC 9112 §6.2
		a.engine.logf("http: WriteHeader called with both Transfer-Encoding of %q and a Content-Length of %d", coding, size)
		return
	}
	a.declared = size
}

// freezeTrailers takes the names in Trailer fields.
func (a *answer) freezeTrailers(lists []string) {
	for _, list := range lists {
		a.frozen.trailers = true
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(trimOWS(name))
			if name != "" && trailerAllowed(name) {
				a.sender.trailers = append(a.sender.trailers, name)
			}
		}
	}
}

func (a *answer) hasPrefixedTrailers() bool {
	for name := range a.exchange.writer.header {
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
func (a *answer) isSpecial(name string) bool {
	switch name {
	case "Connection", "Content-Length":
		return true
	case "Transfer-Encoding":
		coding := a.frozen.coding
		return a.isHead || a.http10 || !bodyAllowed(a.status) || a.declared >= 0 ||
			coding == "" || coding == "identity" || coding == "chunked"
	case "Content-Type":
		return a.status == http.StatusNotModified // RFC 9110 §15.4.5
	}
	return strings.HasPrefix(name, http.TrailerPrefix)
}

// A headerField is one key of a header.
type headerField struct {
	name   string
	values []string
}

// list returns what header holds, sorted by name, until the next call.
func (s *sender) list(header http.Header) []headerField {
	list := s.header[:0]
	// To look for the names of most headers costs less than to range over the map.
	if len(header) <= 2 {
		contentType, typed := header["Content-Type"]
		if !typed || len(header) == 2 {
			if size, sized := header["Content-Length"]; sized {
				list = append(list, headerField{"Content-Length", size})
			}
		}
		if typed {
			list = append(list, headerField{"Content-Type", contentType})
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
func (a *answer) commit(data []byte, whole bool) {
	a.committed = true
	f := &a.frozen
	size := a.declared
	allowed := bodyAllowed(a.status)
	if whole && size < 0 && allowed && f.coding == "" && !f.hasLength && !f.trailers && !a.isTunnel() && (!a.isHead || len(data) > 0) {
		size = int64(len(data))
		a.declared = size
	}
	h := head{code: a.status, fields: a.sender.fields, framing: framedByStatus}
	switch {
	case !allowed || a.isTunnel():
		// An empty tunnel that nobody has hijacked leads back to this server, as net/http has it.
		through := a.isTunnel() && !(whole && len(data) == 0)
		a.closing = a.closing || through || a.status == http.StatusSwitchingProtocols
	case size >= 0:
		h.framing, h.size = framedByLength, size
	case a.isHead:
	case !a.http10 && f.coding != "identity":
		h.framing = framedByChunks
		a.chunking = true
	default:
		a.closing = true
	}
	serverCloses := a.engine.closing() || !a.engine.keepAlives()
	a.closing = a.closing || f.closes || serverCloses
	a.makeWay()
	if !f.hasDate {
		h.date = a.engine.dates.line()
	}
	if allowed && !f.encoded && !f.hasType && f.coding == "" && len(data) > 0 {
		h.contentType = http.DetectContentType(data)
	}
	switch {
	case a.closing && (!f.closes || serverCloses) && !(a.status == http.StatusSwitchingProtocols && f.upgrades):
		h.connection = connectionClose // for HTTP/1.0 too: the status line says 1.1
	case f.hasConnection:
		a.sender.fields = append(a.sender.fields, a.sender.connection...)
		h.fields = a.sender.fields
	case a.http10 && !a.closing:
		h.connection = connectionKeepAlive
	}
	a.engine.counters.responses.count(a.status)
	s := a.sender
	s.pending = h.append(s.pending)
}

// isTunnel reports whether what follows the head is no HTTP any more, RFC 9110 §9.3.6.
func (a *answer) isTunnel() bool { return a.isConnect && a.status >= 200 && a.status < 300 }

// mayHaveTrailers reports whether the header may have been changed since it was frozen.
func (a *answer) mayHaveTrailers() bool {
	w := &a.exchange.writer
	return w.touched || a.frozen.trailers || len(w.header) != a.frozenSize
}

// endChunks puts the last chunk and the trailers on their way, RFC 9112 §7.1.2.
func (a *answer) endChunks() {
	s := a.sender
	s.pending = append(s.pending, "0\r\n"...)
	s.fields = s.fields[:0]
	for _, name := range s.trailers {
		for _, value := range a.exchange.writer.header[name] {
			s.fields = appendField(s.fields, name, value)
		}
	}
	if a.mayHaveTrailers() {
		for prefixed, values := range a.exchange.writer.header {
			name, found := strings.CutPrefix(prefixed, http.TrailerPrefix)
			for i := 0; found && isToken(name) && i < len(values); i++ {
				s.fields = appendField(s.fields, name, values[i])
			}
		}
	}
	s.pending = append(s.pending, s.fields...)
	s.pending = append(s.pending, lineEnd...)
}
