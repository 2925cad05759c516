package kourier

import (
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

	// Body is the body, at most 1 GiB.
	Body []byte
}

// staticBodyMax bounds the body of a StaticResponse, in bytes.
const staticBodyMax = 1 << 30

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

// encode checks the pattern, whose form is that of [FastMux], and the response.
// The error is a *ConfigError. Later changes of r have no effect on the route.
func (r StaticResponse) encode(pattern string) (staticRoute, error) {
	route, err := parsePattern(pattern)
	if err != nil {
		return staticRoute{}, &ConfigError{Field: "Static pattern", Value: pattern, Why: err.Error()}
	}
	if route.method != "" && route.methodNumber() == 0 {
		return staticRoute{}, &ConfigError{Field: "Static pattern", Value: pattern, Why: fmt.Sprintf("the method %s has no static answers", route.method)}
	}
	if len(r.Body) > staticBodyMax {
		return staticRoute{}, &ConfigError{Field: "StaticResponse.Body", Value: len(r.Body), Why: fmt.Sprintf("%d bytes are more than %d", len(r.Body), staticBodyMax)}
	}
	c, err := encodeCanned("StaticResponse", r.Status, r.Header, r.Body)
	if err != nil {
		return staticRoute{}, err
	}
	return staticRoute{
		pattern: route.String(),
		path:    route.path,
		head:    c.head,
		body:    c.body,
		code:    uint16(c.code),
		method:  route.methodNumber(),
		subtree: route.subtree(),
	}, nil
}
