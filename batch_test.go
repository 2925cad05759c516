package kourier

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

const testDate = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

// A fakeCore stands in for the core: it makes batches of requests written out as
// text, and keeps what is sent.
type fakeCore struct {
	t *testing.T
	// status, if set, is what a write for the request of this index returns.
	status func(index uint32) int32
	// logged holds the values that the dispatcher reported.
	logged  []any
	stacks  [][]byte
	writes  int
	batch   *abi.Batch
	raws    []abi.Request
	flushed int // requests whose answers have left Out
	sent    map[uint64]*bytes.Buffer
}

// An arrival is a request and the connection that it came on.
type arrival struct {
	connection uint64
	text       string
}

func newFakeCore(t *testing.T) *fakeCore {
	return &fakeCore{t: t, sent: map[uint64]*bytes.Buffer{}}
}

func (c *fakeCore) dispatcher(fast FastHandler) *dispatcher {
	peer := func(_ *abi.Batch, connection uint64) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(connection))
	}
	log := func(value any, stack []byte, _ *Request) {
		c.logged = append(c.logged, value)
		c.stacks = append(c.stacks, stack)
	}
	return newDispatcher(fast, nil, 1, c.write, peer, log)
}

// load makes a batch with room for outSize bytes of answers.
func (c *fakeCore) load(outSize int, arrivals ...arrival) *abi.Batch {
	c.raws = nil
	for _, a := range arrivals {
		c.raws = append(c.raws, parseArrival(c.t, a))
	}
	c.batch = abi.MakeBatch(c.raws, make([]byte, outSize), testDate)
	c.flushed = 0
	return c.batch
}

// answer has fast answer the arrivals and returns what each connection was sent.
func (c *fakeCore) answer(fast FastHandler, arrivals ...arrival) map[uint64]string {
	c.load(64<<10, arrivals...)
	return c.run(c.dispatcher(fast))
}

func (c *fakeCore) run(d *dispatcher) map[uint64]string {
	d.OnBatch(c.batch)
	c.flush(len(c.raws))
	all := map[uint64]string{}
	for connection, bytes := range c.sent {
		all[connection] = bytes.String()
	}
	return all
}

// flush sends the answers in Out of the requests before end, which must lie
// there side by side.
func (c *fakeCore) flush(end int) {
	out := abiOut(c.batch)
	at := uint32(0)
	for ; c.flushed < end; c.flushed++ {
		raw := &c.raws[c.flushed]
		if raw.AnswerSize == 0 {
			continue
		}
		require.Equal(c.t, at, raw.AnswerOffset)
		at += raw.AnswerSize
		c.connection(raw.Connection).Write(out[raw.AnswerOffset:at])
	}
	require.Equal(c.t, at, c.batch.OutSize, "all of Out belongs to an answer")
	c.batch.OutSize = 0
}

func (c *fakeCore) write(b *abi.Batch, index uint32, data []byte) int32 {
	c.writes++
	c.flush(int(index) + 1)
	c.flushed-- // more may follow for this one
	raw := &c.raws[index]
	raw.AnswerOffset, raw.AnswerSize = 0, 0
	status := int32(abi.OK)
	if c.status != nil {
		status = c.status(index)
	}
	if status == abi.OK || status == abi.ErrBlocked {
		c.connection(raw.Connection).Write(data)
	}
	return status
}

func (c *fakeCore) connection(number uint64) *bytes.Buffer {
	if c.sent[number] == nil {
		c.sent[number] = &bytes.Buffer{}
	}
	return c.sent[number]
}

// abiOut returns the used part of Out.
func abiOut(b *abi.Batch) []byte {
	used := b.OutSize
	b.OutSize = 0
	out := b.Free()[:used]
	b.OutSize = used
	return out
}

// parseArrival does what the core's parser does, for correct requests.
func parseArrival(t testing.TB, a arrival) abi.Request {
	headText, bodyText, found := strings.Cut(a.text, "\r\n\r\n")
	require.True(t, found, a.text)
	head := []byte(headText + "\r\n\r\n")
	lines := strings.Split(headText, "\r\n")
	words := strings.Split(lines[0], " ")
	require.Len(t, words, 3)

	var fields []abi.Field
	values := http.Header{}
	at := len(lines[0]) + 2
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		trimmed := strings.Trim(value, " \t")
		begin := at + len(name) + 1 + strings.Index(value, trimmed)
		fields = append(fields, abi.Field{
			NameOffset: uint32(at), NameSize: uint32(len(name)), ValueOffset: uint32(begin), ValueSize: uint32(len(trimmed)),
		})
		values.Add(name, trimmed)
		at += len(line) + 2
	}

	body := []byte(bodyText)
	chunked := values.Get("Transfer-Encoding") != ""
	if chunked {
		var err error
		body, err = io.ReadAll(httputil.NewChunkedReader(strings.NewReader(bodyText)))
		require.NoError(t, err)
	}
	raw := abi.MakeRequest(head, fields, body)
	raw.Connection = a.connection
	raw.MethodSize = uint32(len(words[0]))
	for number, name := range methodNames {
		if name == words[0] {
			raw.Method = uint8(number)
		}
	}
	locate := func(part string, from int) (offset, size uint32) {
		return uint32(from + strings.Index(headText[from:], part)), uint32(len(part))
	}
	targetAt := len(words[0]) + 1
	target := words[1]
	raw.TargetOffset, raw.TargetSize = uint32(targetAt), uint32(len(target))

	authority, path := "", target
	switch {
	case words[0] == "CONNECT":
		authority, path = target, ""
	case strings.HasPrefix(target, "http://"):
		authority, path, _ = strings.Cut(target[len("http://"):], "/")
		if path != "" || strings.HasSuffix(target, "/") {
			path = "/" + path
		}
	case target == "*":
		path = ""
	}
	if path, query, found := strings.Cut(path, "?"); true {
		raw.PathSize = uint32(len(path))
		raw.PathOffset = uint32(targetAt + len(target) - len(path))
		if found {
			raw.Flags |= abi.RequestHasQuery
			raw.QuerySize = uint32(len(query))
			raw.QueryOffset = uint32(targetAt + len(target) - len(query))
			raw.PathOffset -= uint32(len(query)) + 1
		}
	}
	if authority != "" {
		raw.HostOffset, raw.HostSize = locate(authority, targetAt)
	} else if host := values.Get("Host"); host != "" {
		raw.HostOffset, raw.HostSize = locate(host, len(lines[0]))
	}
	connection := strings.ToLower(values.Get("Connection"))
	if words[2] == "HTTP/1.0" {
		raw.Flags |= abi.RequestHTTP10
		if connection == "keep-alive" {
			raw.Flags |= abi.RequestKeepAlive
		}
	} else if connection != "close" {
		raw.Flags |= abi.RequestKeepAlive
	}
	if chunked {
		raw.Flags |= abi.RequestChunked
	}
	return raw
}

// request writes a request out.
func request(method, target, version string, fields ...string) string {
	text := method + " " + target + " " + version + "\r\n"
	if version == "HTTP/1.1" {
		text += "Host: example.org\r\n"
	}
	for _, field := range fields {
		text += field + "\r\n"
	}
	return text + "\r\n"
}

func get(target string) string { return request("GET", target, "HTTP/1.1") }

// A seenAnswer is what a client understands of what it was sent.
type seenAnswer struct {
	*http.Response
	text string // the body
	err  error  // from reading it
}

// readAnswers reads one answer for each method, and requires that nothing follows.
func readAnswers(t *testing.T, sent string, methods ...string) []seenAnswer {
	t.Helper()
	reader := bufio.NewReader(strings.NewReader(sent))
	var answers []seenAnswer
	for _, method := range methods {
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		require.NoError(t, err, "%q", sent)
		body, err := io.ReadAll(response.Body)
		answers = append(answers, seenAnswer{response, string(body), err})
	}
	rest, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Empty(t, rest)
	return answers
}

// one has fast answer one request and reads the answer.
func one(t *testing.T, text string, fast FastHandler) (seenAnswer, *fakeCore) {
	t.Helper()
	core := newFakeCore(t)
	method, _, _ := strings.Cut(text, " ")
	sent := core.answer(fast, arrival{1, text})
	return readAnswers(t, sent[1], method)[0], core
}

// headOf returns the field lines of an answer as they were sent.
func headOf(sent string) string {
	head, _, _ := strings.Cut(sent, "\r\n\r\n")
	return head + "\r\n"
}

func sized(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n] }

func numbered(n int) string { return "/" + strconv.Itoa(n) }
