package kourier

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/kourier-go/kourier/internal/abi"
	"github.com/kourier-go/kourier/internal/nethttp"
)

// An exchange is everything that is made for one request, but for its maps and a body:
// parts of one allocation, which nobody uses for another request, so that a handler may
// keep any of them. 512 bytes are the largest size that Go's allocator needs no header
// for; what no handler sees of a request is in the sender's answer.
type exchange struct {
	request http.Request
	url     url.URL
	context requestContext
	writer  responseWriter
}

// newExchange makes the request of h that stands at index, and its writer.
func (e *handlerEngine) newExchange(s *sender, h *handed, index int) *exchange {
	raw := &h.requests[index]
	text := raw.Text(headSize(raw))
	switch {
	case text == h.text: // clients that send many at once repeat themselves
		text = h.text
	case len(h.block) > 2*len(text): // a kept string would hold the memory of bodies and of other requests
		text = strings.Clone(text)
	}
	h.text = text
	x := &exchange{}
	if h.scope.parent == nil { // nothing that is kept has seen it
		h.scope = scope{parent: h.conn.context(h.base), server: e.server, link: h.link, sender: s}
	}
	x.context.scope = &h.scope
	r := &x.request
	nethttp.SetContext(r, &x.context)
	r.Method = requestMethod(raw, text)
	r.RequestURI = text[raw.TargetOffset : raw.TargetOffset+raw.TargetSize]
	r.URL = x.parseURL(raw, text, r.RequestURI)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if raw.Flags&abi.RequestHTTP10 != 0 {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}
	r.Header = requestHeader(raw, text)
	r.Host = text[raw.HostOffset : raw.HostOffset+raw.HostSize]
	r.RemoteAddr = h.remoteAddr()
	r.Close = raw.Flags&abi.RequestKeepAlive == 0 && closes(r)
	body := x.frame(e, h, raw, r)
	if raw.Flags&abi.RequestPreface != 0 { // for handlers that hijack it; to all others it is a connection that closes
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		r.ContentLength = -1
		r.Close = true
	}
	s.begin(e, h, index, x, body)
	return x
}

// headSize returns how much of the head is of use: all but the line ends behind the last field.
func headSize(raw *abi.Request) uint32 {
	size := max(raw.TargetOffset+raw.TargetSize, raw.MethodOffset+raw.MethodSize)
	if fields := raw.FieldSlice(); len(fields) > 0 {
		last := &fields[len(fields)-1]
		size = max(size, last.NameOffset+last.NameSize, last.ValueOffset+last.ValueSize)
	}
	return size
}

func requestMethod(raw *abi.Request, text string) string {
	if int(raw.Method) < len(methodNames) && raw.Method != abi.MethodOther {
		return methodNames[raw.Method]
	}
	return text[raw.MethodOffset : raw.MethodOffset+raw.MethodSize]
}

// remoteAddr returns Request.RemoteAddr, which net/http takes from the connection.
func (h *handed) remoteAddr() string {
	if h.remote == "" {
		if remote := h.link.remote(); remote.IsValid() {
			h.remote = remote.String()
		} else {
			h.remote = h.link.remoteAddr().String()
		}
	}
	return h.remote
}

// closes tells Request.Close of a request whose connection does not persist: a
// server that shuts down is no wish of the client's.
func closes(r *http.Request) bool {
	if r.ProtoMinor == 0 {
		return !listsOption(r.Header["Connection"], "keep-alive")
	}
	return listsOption(r.Header["Connection"], "close")
}

// listsOption reports whether one of the values of a Connection field lists option.
func listsOption(values []string, option string) bool {
	for _, value := range values {
		for more := true; more; {
			var listed string
			listed, value, more = strings.Cut(value, ",")
			if strings.EqualFold(trimOWS(listed), option) {
				return true
			}
		}
	}
	return false
}

// requestHeader makes Request.Header. All values lie in one array.
func requestHeader(raw *abi.Request, text string) http.Header {
	fields := raw.FieldSlice()
	var header http.Header
	if len(fields) > 1 {
		header = make(http.Header, len(fields)-1)
	} else {
		header = http.Header{} // costs half of a map with a hint
	}
	var values []string
	for i := range fields {
		f := &fields[i]
		name := text[f.NameOffset : f.NameOffset+f.NameSize]
		if len(name) == len("Host") && strings.EqualFold(name, "Host") {
			continue
		}
		name = http.CanonicalHeaderKey(name)
		value := text[f.ValueOffset : f.ValueOffset+f.ValueSize]
		if earlier, ok := header[name]; ok {
			header[name] = append(earlier, value)
			continue
		}
		if values == nil {
			values = make([]string, 0, len(fields)-i)
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if pragma := header["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && header["Cache-Control"] == nil {
		header["Cache-Control"] = []string{"no-cache"} // RFC 9111 §5.4
	}
	return header
}

// plainPathBytes holds the bytes that stand for themselves in a path: nothing is
// to be decoded, and url.URL would write them the same way.
var plainPathBytes = func() (set [256]bool) {
	for _, c := range []byte("-_.~$&+,/:;=@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		set[c] = true
	}
	return set
}()

// parseURL reads the target as net/http's server does: "//host/x" is a path, and
// CONNECT names a host unless its target begins with a slash.
func (x *exchange) parseURL(raw *abi.Request, text, target string) *url.URL {
	if raw.PathSize > 0 && raw.PathOffset == raw.TargetOffset && target[0] == '/' {
		path := text[raw.PathOffset : raw.PathOffset+raw.PathSize]
		plain := true
		for i := 0; i < len(path) && plain; i++ {
			plain = plainPathBytes[path[i]]
		}
		if plain {
			x.url.Path = path
			x.url.RawQuery = text[raw.QueryOffset : raw.QueryOffset+raw.QuerySize]
			x.url.ForceQuery = raw.Flags&abi.RequestHasQuery != 0 && raw.QuerySize == 0
			return &x.url
		}
	}
	authority := raw.Method == abi.MethodConnect && !strings.HasPrefix(target, "/")
	parsable := target
	if authority {
		parsable = "http://" + target
	}
	u, err := url.ParseRequestURI(parsable)
	if err != nil { // the core's grammar is the narrower one, so this is not expected
		x.url.Path = text[raw.PathOffset : raw.PathOffset+raw.PathSize]
		x.url.RawQuery = text[raw.QueryOffset : raw.QueryOffset+raw.QuerySize]
		return &x.url
	}
	if authority {
		u.Scheme = ""
	}
	return u
}

// frame fills in what the framing of the body says, RFC 9112 §6. It returns the body,
// nil if there is none.
func (x *exchange) frame(e *handlerEngine, h *handed, raw *abi.Request, r *http.Request) *requestBody {
	r.Body = http.NoBody
	open := raw.Flags&abi.RequestBodyOpen != 0
	switch {
	case raw.Flags&abi.RequestChunked != 0:
		delete(r.Header, "Transfer-Encoding")
		r.TransferEncoding = []string{"chunked"}
		r.ContentLength = -1
		r.Trailer = takeTrailer(r.Header)
	case open:
		r.ContentLength = declaredLength(r.Header)
	default:
		r.ContentLength = int64(raw.BodySize)
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 1 { // equal ones: the core has refused others
		r.Header["Content-Length"] = lengths[:1:1]
	}
	if r.ContentLength == 0 {
		return nil
	}
	b := &requestBody{exchange: x, left: r.ContentLength, limit: e.maxBodyBytes}
	if open {
		b.link = h.link
		b.awaited.Store(raw.Flags&abi.RequestContinue != 0 && raw.Flags&abi.RequestHTTP10 == 0)
	} else {
		b.data = raw.BodyBytes()
		b.trailer = strings.Clone(raw.TrailerLines()) // a kept value would hold the memory of the body
	}
	r.Body = b
	return b
}

// declaredLength returns the Content-Length, which the core has checked.
func declaredLength(header http.Header) int64 {
	if values := header["Content-Length"]; len(values) > 0 {
		first, _, _ := strings.Cut(values[0], ",")
		if size, err := strconv.ParseInt(trimOWS(first), 10, 64); err == nil {
			return size
		}
	}
	return 0
}

// takeTrailer makes Request.Trailer of the names that the client announces, and
// removes the announcement. The core has refused those that no trailer can have.
func takeTrailer(header http.Header) http.Header {
	announced, ok := header["Trailer"]
	if !ok {
		return nil
	}
	delete(header, "Trailer")
	var trailer http.Header
	for _, list := range announced {
		for name := range strings.SplitSeq(list, ",") {
			if name = trimOWS(name); name == "" {
				continue
			}
			if trailer == nil {
				trailer = http.Header{}
			}
			trailer[http.CanonicalHeaderKey(name)] = nil
		}
	}
	return trailer
}

// addTrailer puts the fields of a trailer section into Request.Trailer as net/http
// does, also those that were not announced: into the map that is there, which a copy
// of the request may share.
func addTrailer(r *http.Request, lines string) {
	fields := http.Header{}
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		fields.Add(name, trimOWS(value))
	}
	if r.Trailer == nil {
		r.Trailer = fields
		return
	}
	maps.Copy(r.Trailer, fields)
}
