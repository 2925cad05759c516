package kourier

import (
	"net/http"
	"strconv"
	"strings"
)

// This file writes heads: it is the only place that knows what one looks like.

const (
	statusCodeMin = 200 // a final status: an interim one (1xx) is no answer, RFC 9110 §15.2
	statusCodeMax = 999
)

const (
	lineEnd             = "\r\n"
	contentTypeName     = "Content-Type: "
	contentLengthName   = "Content-Length: "
	connectionClose     = "Connection: close\r\n"
	connectionKeepAlive = "Connection: keep-alive\r\n"
	chunkedEncoding     = "Transfer-Encoding: chunked\r\n"
)

// headFixedSize is more than all parts of a head but the user's fields and
// content type can have together: the status line of a code that has a text,
// Date, Connection and one framing field.
const headFixedSize = 256

// statusLines holds the status line of every code that net/http knows a text for.
var statusLines = func() (lines [600]string) {
	for code := range lines {
		if text := http.StatusText(code); text != "" {
			lines[code] = "HTTP/1.1 " + strconv.Itoa(code) + " " + text + lineEnd
		}
	}
	return lines
}()

// appendStatusLine appends the status line of a code of three digits. The version is the server's own, also for a client of HTTP/1.0,
// RFC 9110 §6.2.
func appendStatusLine(dst []byte, code int) []byte {
	if code < len(statusLines) && statusLines[code] != "" {
		return append(dst, statusLines[code]...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, " status code "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	return append(dst, lineEnd...)
}

// appendContentLength appends the field line of that name.
func appendContentLength(dst []byte, size int64) []byte {
	dst = append(dst, contentLengthName...)
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, lineEnd...)
}

// appendField appends a field line. name is a token.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = appendFieldValue(dst, value)
	return append(dst, lineEnd...)
}

// appendFieldValue appends value without the white space around it and with
// spaces for the bytes that must not stand in a field value: all controls but
// the tab, RFC 9110 §5.5. So no value can end its line.
func appendFieldValue(dst []byte, value string) []byte {
	value = trimOWS(value)
	clean := 0
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			dst = append(dst, value[clean:i]...)
			dst = append(dst, ' ')
			clean = i + 1
		}
	}
	return append(dst, value[clean:]...)
}

// trimOWS cuts what would be optional white space around a field value on the
// wire, and the control bytes that appendFieldValue would turn into it.
func trimOWS(value string) string {
	for len(value) > 0 && (value[0] <= ' ' || value[0] == 0x7f) {
		value = value[1:]
	}
	for len(value) > 0 && (value[len(value)-1] <= ' ' || value[len(value)-1] == 0x7f) {
		value = value[:len(value)-1]
	}
	return value
}

// tokenBytes holds the bytes of which tokens consist, RFC 9110 §5.6.2.
var tokenBytes = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		set[c] = true
	}
	return set
}()

// isToken reports whether s is a token, as methods and field names are.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// A framing says how the end of a body is told, RFC 9112 §6.3.
type framing uint8

const (
	framedByLength    framing = iota // Content-Length
	framedByChunks                   // Transfer-Encoding: chunked
	framedByClose                    // the end of the connection
	framedByStatus                   // no body and no field about one
	framedAsEmptyBody                // no body, and Content-Length: 0 says so
)

// statusFraming returns how an answer with this code is framed, whatever a
// handler has written: framedByLength stands for "as its body demands".
func statusFraming(code int, connect bool) framing {
	switch {
	case code == http.StatusNoContent, code == http.StatusNotModified: // RFC 9112 §6.3, rule 1
		return framedByStatus
	case connect && code < 300: // what follows the head is a tunnel, RFC 9110 §9.3.6
		return framedByStatus
	case code == http.StatusResetContent: // RFC 9110 §15.3.6
		return framedAsEmptyBody
	}
	return framedByLength
}

// fieldLines are encoded field lines, each with its CRLF.
type fieldLines []byte

// find returns where the first line of that name begins and ends; 0, 0 if there is none.
func (l fieldLines) find(name string) (start, end int) {
	for start < len(l) {
		end = start
		for l[end] != '\n' {
			end++
		}
		end++
		if end-start > len(name) && l[start+len(name)] == ':' && equalFold(l[start:start+len(name)], name) {
			return start, end
		}
		start = end
	}
	return 0, 0
}

// set appends a line, and removes the earlier ones of that name. name is a token.
func (l fieldLines) set(name, value string) fieldLines {
	return appendField(l.remove(name), name, value)
}

func (l fieldLines) remove(name string) fieldLines {
	for start, end := l.find(name); end > 0; start, end = l.find(name) {
		l = append(l[:start], l[end:]...)
	}
	return l
}

// A head is everything that a head is composed of.
type head struct {
	code        int
	prepared    []byte // in place of code, contentType, fields and framing: those lines, encoded
	date        []byte // the whole line; nil for none
	contentType string // "" for none, or for one among fields
	fields      fieldLines
	connection  string // the whole line or ""
	framing     framing
	size        int64 // of the body, with framedByLength
}

// sizeMax returns a size that the encoded head cannot exceed.
func (h *head) sizeMax() int {
	return headFixedSize + len(h.prepared) + len(h.date) + len(h.contentType) + len(h.fields)
}

// append appends the encoded head. A Content-Length stands last, so that a head
// for another size differs only in its end.
func (h *head) append(dst []byte) []byte {
	if h.prepared != nil {
		dst = append(dst, h.prepared...)
		dst = append(dst, h.date...)
		dst = append(dst, h.connection...)
		return append(dst, lineEnd...)
	}
	dst = appendStatusLine(dst, h.code)
	dst = append(dst, h.date...)
	if h.contentType != "" {
		dst = append(dst, contentTypeName...)
		dst = appendFieldValue(dst, h.contentType)
		dst = append(dst, lineEnd...)
	}
	dst = append(dst, h.fields...)
	dst = append(dst, h.connection...)
	switch h.framing {
	case framedByLength:
		dst = appendContentLength(dst, h.size)
	case framedAsEmptyBody:
		dst = appendContentLength(dst, 0)
	case framedByChunks:
		dst = append(dst, chunkedEncoding...)
	}
	return append(dst, lineEnd...)
}

// A headTemplate is the whole head of an answer that needs nothing but a code
// and a content type, to an HTTP/1.1 client whose connection stays open. Two
// copies make an answer of it: the template and the body.
type headTemplate struct {
	head        []byte
	contentType string
	code        int
	digits      int // where the number in Content-Length begins
	bodySize    int
}

// templateTypeSizeMax bounds the content types that a template is kept for.
const templateTypeSizeMax = 128

func (t *headTemplate) fits(code int, contentType string) bool {
	return t.code == code && t.contentType == contentType
}

func (t *headTemplate) build(code int, contentType string, date []byte) {
	h := head{code: code, date: date, contentType: contentType, framing: framedByLength}
	t.head = h.append(t.head[:0])
	t.digits = len(t.head) - len("0\r\n\r\n")
	t.bodySize = 0
	t.code = code
	if t.contentType != contentType {
		t.contentType = strings.Clone(contentType) // the caller's may be a view of something that dies
	}
}

func (t *headTemplate) resize(bodySize int) {
	t.head = strconv.AppendInt(t.head[:t.digits], int64(bodySize), 10)
	t.head = append(t.head, "\r\n\r\n"...)
	t.bodySize = bodySize
}
