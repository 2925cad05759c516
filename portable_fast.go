package kourier

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/kourier-go/kourier/internal/abi"
)

// This file runs Fast handlers, and gives static answers, on net/http: a record
// as the core makes it is built from the *http.Request, the very code that answers
// the core's records answers it, and what that has written is read back and put
// into the http.ResponseWriter.

const (
	// callOutSize is the room for an answer before it is streamed, in bytes.
	callOutSize = 2 * directBodyMax

	// fastBodyKeepMax bounds the buffer for bodies that a fastCall keeps, in bytes.
	fastBodyKeepMax = 64 << 10
)

// A fastCall is what one goroutine needs to have Fast answer a request.
type fastCall struct {
	portable   *portable
	dispatcher *dispatcher
	request    *http.Request
	writer     http.ResponseWriter
	raws       [1]abi.Request
	fields     []abi.Field
	head       []byte // what the offsets of the record point into
	body       []byte
	open       bool // the body is not whole
	passed     bool
	out        [callOutSize]byte

	// An answer that out cannot hold goes through a pipe to a goroutine that sends it.
	stream   *io.PipeWriter // nil if there is none
	streamed chan error     // what send has returned
}

func newFastCall(p *portable) *fastCall {
	f := &fastCall{portable: p}
	fast := func(req *Request, res *Response) {
		p.fast(req, res)
		f.passed = res.state == statePassed
	}
	f.dispatcher = newDispatcher(fast, nil, 1, f.write, f.peer, p.server.logHandler)
	return f
}

// answerFast has Fast answer r. It reports whether it has: else it has passed r,
// whose body is as the client sent it, to the Handler.
func (p *portable) answerFast(w http.ResponseWriter, r *http.Request) (done bool) {
	f := p.calls.Get().(*fastCall)
	f.request, f.writer = r, w
	defer f.free()
	if why := f.collect(); why != nil {
		p.refuse(w, r, why)
		return true
	}
	p.requests.Add(1)
	f.build()
	f.dispatcher.OnBatch(abi.MakeBatch(f.raws[:], f.out[:], string(p.dates.line())))
	if f.passed && p.handler != nil {
		f.restoreBody()
		return false
	}
	p.responses.count(int(f.raws[0].AnswerCode))
	f.deliver()
	return true
}

func (f *fastCall) free() {
	f.request, f.writer, f.stream, f.streamed = nil, nil, nil, nil
	f.open, f.passed = false, false
	if f.body = f.body[:0]; cap(f.body) > fastBodyKeepMax {
		f.body = nil
	}
	f.portable.calls.Put(f)
}

// collect reads the body as far as Fast gets to see it. Without a Handler that is
// all of it.
func (f *fastCall) collect() *refusedRequest {
	r := f.request
	if r.Body == http.NoBody {
		return nil
	}
	limit := int64(f.portable.limits.bodyCollectMax)
	waits := strings.EqualFold(r.Header.Get("Expect"), "100-continue")
	if f.portable.handler != nil && (r.ContentLength > limit || waits) {
		f.open = true
		return nil
	}
	buffer := bytes.NewBuffer(f.body)
	_, err := io.CopyN(buffer, r.Body, min(limit, noBodyLimit-1)+1) // one more than the limit tells that it is exceeded
	f.body = buffer.Bytes()
	switch {
	case err == nil && f.portable.handler == nil:
		return bodyTooLarge
	case err == nil:
		f.open = true
		return nil
	case err == io.EOF: //nolint:errorlint // io.CopyN returns it as it is
		return nil
	}
	return whyUnread(err)
}

// whyUnread returns the refusal for an error of a body. It panics if the client has gone.
func whyUnread(err error) *refusedRequest {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return bodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return bodyTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		panic(http.ErrAbortHandler)
	}
	return badChunk
}

// restoreBody makes the body that was collected the first part of the request's.
func (f *fastCall) restoreBody() {
	if len(f.body) == 0 {
		return
	}
	f.request.Body = &replayedBody{ReadCloser: f.request.Body, first: f.body}
	f.body = nil // the handler may keep reading for as long as it likes
}

// A replayedBody is a body of which some was read before.
type replayedBody struct {
	io.ReadCloser
	first []byte
}

func (b *replayedBody) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.ReadCloser.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

func (b *replayedBody) Close() error {
	b.first = nil
	return b.ReadCloser.Close()
}

// build makes the record of the request.
func (f *fastCall) build() {
	r := f.request
	body := f.body
	switch {
	case f.open:
		body = nil
	case poisoning:
		body = bytes.Clone(body) // a Handler may get to read the original
	}
	var raw abi.Request
	f.head, f.fields = f.head[:0], f.fields[:0]
	raw.MethodOffset, raw.MethodSize = f.text(r.Method)
	raw.TargetOffset, raw.TargetSize = f.text(r.RequestURI)
	raw.HostOffset, raw.HostSize = f.text(r.Host)
	raw.Method = methodNumber(r.Method)
	path, query, asked := splitTarget(r)
	raw.PathOffset, raw.PathSize = f.text(path)
	raw.QueryOffset, raw.QuerySize = f.text(query)
	f.addFields()

	whole := abi.MakeRequest(f.head, f.fields, body)
	raw.Base, raw.Fields, raw.FieldCount = whole.Base, whole.Fields, whole.FieldCount
	raw.Body, raw.BodySize = whole.Body, whole.BodySize
	raw.Flags = flagIf(!r.Close, abi.RequestKeepAlive) |
		flagIf(!r.ProtoAtLeast(1, 1), abi.RequestHTTP10) |
		flagIf(r.ContentLength < 0, abi.RequestChunked) |
		flagIf(asked, abi.RequestHasQuery) |
		flagIf(f.open, abi.RequestBodyOpen)
	f.raws[0] = raw
}

// text appends s to the head.
func (f *fastCall) text(s string) (offset, size uint32) {
	offset = uint32(len(f.head))
	f.head = append(f.head, s...)
	return offset, uint32(len(s))
}

// addFields adds the fields, sorted by name: their order is lost in a header map.
// What net/http keeps elsewhere is among them again.
func (f *fastCall) addFields() {
	r := f.request
	if r.Host != "" {
		f.addField("Host", r.Host)
	}
	for _, coding := range r.TransferEncoding {
		f.addField("Transfer-Encoding", coding)
	}
	var room [32]string // more than most requests have
	names := room[:0]
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range r.Header[name] {
			f.addField(name, value)
		}
	}
}

func (f *fastCall) addField(name, value string) {
	var field abi.Field
	field.NameOffset, field.NameSize = f.text(name)
	field.ValueOffset, field.ValueSize = f.text(value)
	f.fields = append(f.fields, field)
}

func methodNumber(method string) uint8 { return pattern{method: method}.methodNumber() }

// splitTarget returns the path and the query of a request as they were received.
// The path is empty for a target that has none.
func splitTarget(r *http.Request) (path, query string, asked bool) {
	target := r.RequestURI
	switch {
	case r.Method == http.MethodConnect, target == "*":
		return "", "", false
	case !strings.HasPrefix(target, "/"): // RFC 9112 §3.2.2: the absolute form
		_, target, _ = strings.Cut(target, "://")
		target = target[min(len(target), max(0, strings.IndexAny(target+"/", "/?"))):]
	}
	return strings.Cut(target, "?")
}

func (f *fastCall) peer(*abi.Batch, uint64) netip.AddrPort {
	address, _ := netip.ParseAddrPort(f.request.RemoteAddr) // invalid for a Unix socket
	return address
}

// write is the kr_batch_write of this engine.
func (f *fastCall) write(b *abi.Batch, _ uint32, data []byte) int32 {
	if f.stream == nil {
		f.startStream()
	}
	placed := f.placed()
	raw := &f.raws[0]
	raw.AnswerOffset, raw.AnswerSize = 0, 0
	b.OutSize = 0
	if f.send(placed) != nil || f.send(data) != nil {
		return abi.ErrClosed
	}
	return abi.OK
}

// send streams data. To write nothing into a pipe would wait for a reader.
func (f *fastCall) send(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	_, err := f.stream.Write(data)
	return err
}

// placed returns what stands in out of the answer.
func (f *fastCall) placed() []byte {
	raw := &f.raws[0]
	return f.out[raw.AnswerOffset : raw.AnswerOffset+raw.AnswerSize]
}

// startStream has the answer sent while it is written.
func (f *fastCall) startStream() {
	reader, writer := io.Pipe()
	f.stream, f.streamed = writer, make(chan error, 1)
	w, r, streamed := f.writer, f.request, f.streamed
	go func() {
		err := sendAnswer(w, r, reader)
		_ = reader.CloseWithError(err) // never fails; ends a write that waits
		streamed <- err
	}()
}

// deliver sends what Fast has answered, or the rest of it. It panics, as a Handler
// would, to end a connection that must not get a whole answer.
func (f *fastCall) deliver() {
	abort := f.raws[0].AnswerFlags&abi.AnswerAbort != 0
	var err error
	switch {
	case f.stream == nil && !abort:
		err = sendAnswer(f.writer, f.request, bytes.NewReader(f.placed()))
	case f.stream != nil:
		if abort {
			err = errPeerGone
		} else {
			err = f.send(f.placed())
		}
		_ = f.stream.CloseWithError(err) // never fails
		err = errors.Join(err, <-f.streamed)
	}
	if abort || err != nil {
		panic(http.ErrAbortHandler)
	}
}

// sendAnswer puts an answer into w: all of it comes from w then, so that net/http
// adds nothing but the framing, which it knows better.
func sendAnswer(w http.ResponseWriter, r *http.Request, answer io.Reader) error {
	response, err := http.ReadResponse(bufio.NewReader(answer), &http.Request{Method: r.Method})
	if err != nil {
		return err
	}
	header := w.Header()
	for name, values := range response.Header {
		if !isConnectionField(name, r) {
			header[name] = values
		}
	}
	for _, name := range []string{"Content-Type", "Date"} {
		if _, set := header[name]; !set {
			header[name] = nil // do not add it
		}
	}
	if response.Close {
		header.Set("Connection", "close")
	}
	if r.Method == http.MethodConnect && response.StatusCode < 300 && r.ProtoMajor == 1 {
		header.Set("Transfer-Encoding", "identity") // do not frame it: RFC 9110 §9.3.6
	}
	w.WriteHeader(response.StatusCode)
	_, err = io.Copy(w, response.Body)
	return err
}

// isConnectionField reports whether a field is about the connection, which is
// net/http's, or forbidden in this version, RFC 9113 §8.2.2.
func isConnectionField(name string, r *http.Request) bool {
	switch name {
	case "Connection":
		return true
	case "Keep-Alive", "Proxy-Connection", "Upgrade":
		return r.ProtoMajor > 1
	}
	return false
}

// findStatic returns the static answer for r, nil if there is none.
func (p *portable) findStatic(r *http.Request) (best *staticRoute) {
	if len(p.server.statics) == 0 {
		return nil
	}
	path, _, _ := splitTarget(r)
	if path == "" && r.Method != http.MethodConnect && r.RequestURI != "*" {
		path = "/"
	}
	method := methodNumber(r.Method)
	bestRank := 0
	for i := range p.server.statics {
		route := &p.server.statics[i]
		if rank := route.rank(method, path); rank > bestRank {
			best, bestRank = route, rank
		}
	}
	return best
}

// rank says how well a route matches a request: 0 not at all, else better when
// higher, in the core's order.
func (r *staticRoute) rank(method uint8, path string) int {
	same := r.method == method || r.method == abi.MethodGet && method == abi.MethodHead
	if r.method != abi.MethodOther && !same || !strings.HasPrefix(path, r.path) || path != r.path && !r.subtree {
		return 0
	}
	rank := len(r.path)*6 + 1
	if !r.subtree {
		rank += 3
	}
	switch {
	case r.method == method && method != abi.MethodOther:
		rank += 2
	case same:
		rank++
	}
	return rank
}

// answerStatic gives the answer that the core would give by itself.
func (p *portable) answerStatic(w http.ResponseWriter, r *http.Request, route *staticRoute) {
	p.responses.count(int(route.code))
	answer := slices.Concat(route.head, p.dates.line(), []byte(lineEnd), route.body)
	if err := sendAnswer(w, r, bytes.NewReader(answer)); err != nil {
		panic(http.ErrAbortHandler)
	}
}
