package kourier

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
)

// A CannedResponse is an answer encoded once, for [Response.Canned] to give many
// times. It may be used by several goroutines and servers.
type CannedResponse struct {
	_            [0]func()
	code         int
	head         []byte // status line and fields; Content-Length is the last, Date is not among them
	unframedSize int    // of head, without Content-Length
	body         []byte
	tail         []byte // an empty line and the body, if they are to be copied
	// direct: a head, Date and tail make a whole answer to a plain request.
	direct bool
}

// Canned encodes an answer. status is 200 to 999, or 0 for 200; header and body
// are copied. The fields that frame the answer and those that differ from answer
// to answer must not be in header: Content-Length, Transfer-Encoding, Trailer,
// Connection, Keep-Alive, Upgrade and Date. As with [Response.Write], a
// Content-Type is guessed unless header has one (nil: send none).
// The error is a [*ConfigError] that names what is wrong.
func Canned(status int, header http.Header, body []byte) (*CannedResponse, error) {
	return encodeCanned("Canned", status, header, body)
}

// encodeCanned is Canned for the setting called field.
func encodeCanned(field string, status int, header http.Header, body []byte) (*CannedResponse, error) {
	if status == 0 {
		status = http.StatusOK
	}
	if status < statusCodeMin || status > statusCodeMax {
		return nil, &ConfigError{Field: field + ".Status", Value: status, Why: fmt.Sprintf("%d is not between 200 and 999", status)}
	}
	kind := statusFraming(status, false)
	if kind != framedByLength && len(body) > 0 {
		return nil, &ConfigError{Field: field + ".Body", Value: len(body), Why: fmt.Sprintf("an answer %d has no body", status)}
	}
	lines, err := encodeFields(field+".Header", header, body)
	if err != nil {
		return nil, err
	}
	c := &CannedResponse{code: status, body: bytes.Clone(body)}
	c.head = append(appendStatusLine(nil, status), lines...)
	c.unframedSize = len(c.head)
	if kind != framedByStatus {
		c.head = appendContentLength(c.head, int64(len(body)))
	}
	if c.direct = len(body) <= directBodyMax; c.direct {
		c.tail = append([]byte(lineEnd), body...)
	}
	return c, nil
}

// reservedFields are the fields that a prepared answer cannot have.
var reservedFields = []string{
	"Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Keep-Alive", "Upgrade", "Date",
}

// encodeFields encodes header, sorted by name, and a guessed Content-Type.
func encodeFields(field string, header http.Header, body []byte) (fieldLines, error) {
	var lines fieldLines
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	typed := len(body) == 0
	for _, name := range names {
		key := http.CanonicalHeaderKey(name)
		if !isToken(name) {
			return nil, &ConfigError{Field: field, Value: name, Why: fmt.Sprintf("%q is not a field name", name)}
		}
		if slices.Contains(reservedFields, key) {
			return nil, &ConfigError{Field: field, Value: name, Why: fmt.Sprintf("%s is the server's to send", key)}
		}
		typed = typed || key == "Content-Type" || key == "Content-Encoding"
		for _, value := range header[name] {
			if !isFieldValue(value) {
				return nil, &ConfigError{Field: field, Value: value, Why: fmt.Sprintf("the value %q of %s has a byte that no field value may have", value, name)}
			}
			lines = appendField(lines, name, value)
		}
	}
	if !typed {
		lines = appendField(lines, "Content-Type", http.DetectContentType(body))
	}
	return lines, nil
}

// isFieldValue reports whether no byte of value must be replaced, RFC 9110 §5.5.
func isFieldValue(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// mustCan is Canned for answers that stand in the source.
func mustCan(status int, header http.Header, body string) *CannedResponse {
	c, err := Canned(status, header, []byte(body))
	if err != nil {
		panic(err)
	}
	return c
}

var (
	notFound = mustCan(http.StatusNotFound, http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"X-Content-Type-Options": {"nosniff"},
	}, "404 page not found\n")

	internalError = mustCan(http.StatusInternalServerError, http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"X-Content-Type-Options": {"nosniff"},
	}, "Internal Server Error\n")
)
