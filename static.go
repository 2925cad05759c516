package kourier

import (
	"errors"
	"fmt"
	"net/http"
)

// A StaticResponse is an answer that the core gives by itself, without entering Go.
type StaticResponse struct {
	// Status is the status code, 200 to 999. Default 200.
	Status int

	// Header holds the fields, but those that frame the answer and those that
	// differ from answer to answer: Content-Length, Transfer-Encoding, Trailer,
	// Connection, Keep-Alive, Upgrade and Date. A Content-Type is guessed with
	// [http.DetectContentType] unless it is here (nil: send none).
	Header http.Header

	// Body is the body. Path, header and body together are at most 64 KiB: the
	// core copies them for each answer. What is larger is for a FastHandler.
	Body []byte
}

// staticSizeMax bounds path, head and body of a StaticResponse together, in bytes.
const staticSizeMax = 64 << 10

// A staticRoute is a StaticResponse as kr_static wants it.
type staticRoute struct {
	pattern string // method and path, for the comparison of two routes
	path    string
	head    []byte // status line and fields, without Date, Connection and the empty line
	body    []byte
	code    uint16
	method  uint8
	subtree bool // everything below path matches as well
}

// patternError is the error for a pattern that cannot be used.
func patternError(pattern, why string) error {
	return staticError(pattern, "Static pattern", pattern, why)
}

// staticError tells, beside what is wrong, which of many static answers it is.
func staticError(pattern, field string, value any, why string) error {
	return &ConfigError{Field: field, Value: value, Why: fmt.Sprintf("%q: %s", pattern, why)}
}

// encode checks the pattern, whose form is that of [FastMux], and the response.
// The error is a *ConfigError. Later changes of r have no effect on the route.
func (r StaticResponse) encode(pattern string) (staticRoute, error) {
	route, err := parsePattern(pattern)
	if err != nil {
		return staticRoute{}, patternError(pattern, err.Error())
	}
	if route.method != "" && route.methodNumber() == 0 {
		return staticRoute{}, patternError(pattern, fmt.Sprintf("the method %s has no static answers", route.method))
	}
	c, err := encodeCanned("StaticResponse", r.Status, r.Header, r.Body)
	if mistake := (*ConfigError)(nil); errors.As(err, &mistake) {
		return staticRoute{}, staticError(pattern, mistake.Field, mistake.Value, mistake.Why)
	}
	if size := len(route.path) + len(c.head) + len(c.body); size > staticSizeMax {
		return staticRoute{}, staticError(pattern, "StaticResponse.Body", len(r.Body), fmt.Sprintf("path, header and body are %d bytes together, more than %d", size, staticSizeMax))
	}
	return staticRoute{
		pattern: route.String(),
		path:    route.path,
		head:    c.head,
		body:    c.body,
		code:    uint16(c.code),
		method:  route.methodNumber(),
		subtree: route.subtree,
	}, nil
}
