package kourier

import (
	"bytes"
	"io"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/kourier-go/kourier/internal/abi"
)

// A FastHandler answers requests on the native thread that parsed them, many in
// a row. It must not block: while it runs, no other connection of that thread is
// served. It must not end its goroutine (runtime.Goexit) either, which would end the
// process: so no t.FailNow in tests, and no require. Handlers run
// concurrently on several threads.
//
// req, res and every byte slice read from req are valid until the handler
// returns, and must not be used by another goroutine. [Request.Copy] makes what
// may be kept. A handler that returns without having written anything answers
// 200 with an empty body.
//
// If the handler panics, the request is answered 500, its connection is closed
// and the panic is logged with its stack; other requests are not touched. A
// panic with [http.ErrAbortHandler] closes the connection without an answer and
// without a log entry.
type FastHandler func(req *Request, res *Response)

// A Request is one HTTP/1.x request as a [FastHandler] sees it. It is complete,
// but for large bodies (Body), and checked: what RFC 9112 does not allow never reaches a handler.
//
// A Request and the slices its methods return are views of the core's memory.
// They are valid until the handler returns: read later, they show bytes of other
// requests, or end the process. Copy what is to be kept, or use Copy. In programs
// built with -race or -tags kourier_debug views are overwritten with the byte 0xDB
// when the handler returns.
type Request struct {
	_     [0]func()
	raw   *abi.Request
	batch *abi.Batch
	peer  peerFunc
	// slash is what Path returns for an empty path. It is no constant because
	// the caller could write to it.
	slash [1]byte
}

// noRequest is what a Request shows outside of its handler.
var noRequest abi.Request

var methodNames = [...]string{
	abi.MethodGet:     http.MethodGet,
	abi.MethodHead:    http.MethodHead,
	abi.MethodPost:    http.MethodPost,
	abi.MethodPut:     http.MethodPut,
	abi.MethodDelete:  http.MethodDelete,
	abi.MethodConnect: http.MethodConnect,
	abi.MethodOptions: http.MethodOptions,
	abi.MethodTrace:   http.MethodTrace,
	abi.MethodPatch:   http.MethodPatch,
}

// Method returns the request method as sent, for example "GET". It may be kept.
// Methods that net/http has constants for cost no allocation.
func (r *Request) Method() string {
	if int(r.raw.Method) < len(methodNames) && r.raw.Method != abi.MethodOther {
		return methodNames[r.raw.Method]
	}
	return string(r.raw.Bytes(r.raw.MethodOffset, r.raw.MethodSize))
}

// Target returns the request target as received, in any of its four forms,
// RFC 9112 §3.2.
func (r *Request) Target() []byte { return r.raw.Bytes(r.raw.TargetOffset, r.raw.TargetSize) }

// Path returns the path of the target as received: percent-encoding is checked
// but not decoded, and dot segments are not resolved. It is never empty: it is
// "/" where an absolute target has no path, "*" for OPTIONS *, and the authority
// for CONNECT.
func (r *Request) Path() []byte {
	if r.raw.PathSize != 0 {
		return r.raw.Bytes(r.raw.PathOffset, r.raw.PathSize)
	}
	if target := r.Target(); r.raw.Method == abi.MethodConnect || string(target) == "*" {
		return target
	}
	r.slash[0] = '/'
	return r.slash[:]
}

// Query returns what follows the first '?' of the target, not decoded; nothing
// if there is none.
func (r *Request) Query() []byte { return r.raw.Bytes(r.raw.QueryOffset, r.raw.QuerySize) }

// Host returns the host and, if given, the port that the request is for: the
// authority of an absolute or authority target, else the Host field, RFC 9112
// §3.2.2. It is empty only for HTTP/1.0 requests without either.
func (r *Request) Host() []byte { return r.raw.Bytes(r.raw.HostOffset, r.raw.HostSize) }

// Header returns the value of the first field called name, in any case, without
// the white space around it. It is nil if there is no such field, and not nil
// but empty if the field is empty.
func (r *Request) Header(name string) []byte {
	fields := r.raw.FieldSlice()
	for i := range fields {
		f := &fields[i]
		if int(f.NameSize) == len(name) && equalFold(r.raw.Bytes(f.NameOffset, f.NameSize), name) {
			return r.raw.Bytes(f.ValueOffset, f.ValueSize)
		}
	}
	return nil
}

// Headers ranges over the names and values of all fields, in the order and with
// the case received. A field sent several times comes several times.
func (r *Request) Headers() iter.Seq2[[]byte, []byte] {
	// A method value would escape; this literal can be inlined into the caller's loop.
	return func(yield func(name, value []byte) bool) { r.eachField(yield) }
}

func (r *Request) eachField(yield func(name, value []byte) bool) {
	for _, f := range r.raw.FieldSlice() {
		if !yield(r.raw.Bytes(f.NameOffset, f.NameSize), r.raw.Bytes(f.ValueOffset, f.ValueSize)) {
			return
		}
	}
}

// ContentLength returns the size of the body in bytes as declared: 0 if the
// request has none, and -1 if it came chunked, so that it declared no size.
func (r *Request) ContentLength() int64 {
	switch {
	case r.raw.Flags&abi.RequestChunked != 0:
		return -1
	case r.raw.Flags&abi.RequestBodyOpen != 0:
		size, _ := strconv.ParseInt(string(r.Header("Content-Length")), 10, 64) // checked when it was received
		return size
	}
	return int64(r.raw.BodySize)
}

// Body returns the body with its framing removed. The handler runs when the body
// has arrived, and complete is true, if there is no Server.Handler; bodies larger
// than Config.MaxBodyBytes are refused before. If there is one, body is empty and
// complete is false for a body larger than Config.BodyBuffer, unless one in chunks
// has come whole all the same, and for a client that waits for "100 Continue": such a
// request is to be passed, or to be answered without its body, after which its
// connection closes.
func (r *Request) Body() (body []byte, complete bool) {
	return r.raw.BodyBytes(), r.raw.Flags&abi.RequestBodyOpen == 0
}

// RemoteAddr returns the peer's address. It is the zero AddrPort on a Unix
// socket, and when the connection is gone. Each call asks the kernel.
func (r *Request) RemoteAddr() netip.AddrPort {
	if r.raw == &noRequest || r.peer == nil {
		return netip.AddrPort{}
	}
	return r.peer(r.batch, r.raw.Connection)
}

// Copy returns the request in net/http's form. It owns all of its memory: it may
// be kept after the handler has returned and used by any goroutine. Field names
// are in canonical case and Host is not among them, as net/http's server does;
// the body can be read once; trailers are not kept. Its context is
// [context.Background].
func (r *Request) Copy() *http.Request {
	target := string(r.Target())
	out := &http.Request{
		Method:        r.Method(),
		URL:           r.parseURL(target),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header, r.raw.FieldCount),
		Body:          http.NoBody,
		ContentLength: r.ContentLength(),
		Host:          string(r.Host()),
		RequestURI:    target,
		Close:         r.raw.Flags&abi.RequestKeepAlive == 0,
	}
	if r.raw.Flags&abi.RequestHTTP10 != 0 {
		out.Proto, out.ProtoMinor = "HTTP/1.0", 0
	}
	if addr := r.RemoteAddr(); addr.IsValid() {
		out.RemoteAddr = addr.String()
	}
	for name, value := range r.Headers() {
		key := http.CanonicalHeaderKey(string(name))
		out.Header[key] = append(out.Header[key], string(value))
	}
	delete(out.Header, "Host")
	if r.raw.Flags&abi.RequestChunked != 0 {
		delete(out.Header, "Transfer-Encoding")
		out.TransferEncoding = []string{"chunked"}
	}
	if body, _ := r.Body(); len(body) > 0 || out.ContentLength < 0 {
		out.Body = io.NopCloser(bytes.NewReader(bytes.Clone(body)))
	}
	return out
}

// parseURL reads the target as net/http's server does. The core's grammar is the
// narrower one, so an error is not expected; then the parts that the core found stand in.
func (r *Request) parseURL(target string) *url.URL {
	authority := r.raw.Method == abi.MethodConnect && len(target) > 0 && target[0] != '/'
	text := target
	if authority {
		text = "http://" + target
	}
	u, err := url.ParseRequestURI(text)
	if err != nil {
		return &url.URL{Path: string(r.Path()), RawQuery: string(r.Query())}
	}
	if authority {
		u.Scheme = ""
	}
	return u
}

// equalFold reports whether name, which has as many bytes as b, equals it but
// for the case of ASCII letters.
func equalFold(b []byte, name string) bool {
	for i := 0; i < len(b) && i < len(name); i++ {
		if x, y := b[i], name[i]; x != y {
			if lower := x | 0x20; lower != y|0x20 || lower < 'a' || lower > 'z' {
				return false
			}
		}
	}
	return true
}
