package kourier

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

// A streamLink is a link over a net.Conn, in the core's place.
type streamLink struct {
	conn    net.Conn
	input   *bufio.Reader
	body    io.Reader // of the open request
	trailer *trailerReader
	sendOK  bool // sendFile works

	mu        sync.Mutex
	onGoneF   func()
	isGone    bool
	writes    int
	noRoom    bool // room finds none
	narrow    int  // bytes that there is room for after awaitRoom; 0: all
	taken     int  // bytes that write was given since awaitRoom
	overrun   int  // the most by which those were more than narrow
	waits     int  // calls of awaitRoom
	roomAfter int  // what awaitRoom returns
	onWait    func()
	writeErr  error
	released  chan uint32
	refusal   error // what tryReadBody returns in place of data
	lost      error // what readTrailer returns in place of lines
	sentFiles int64
	blocked   bool          // what tryReadBody said last
	reads     chan struct{} // if set, gets a value before each read of the body
}

func (l *streamLink) awaitBody() error { return nil }

// tryReadBody does not find anything at every other call.
func (l *streamLink) tryReadBody(p []byte) (int, error) {
	if l.blocked = !l.blocked; l.blocked {
		return 0, errBlocked
	}
	if l.reads != nil {
		l.reads <- struct{}{}
	}
	if l.refusal != nil {
		return 0, l.refusal
	}
	n, err := l.body.Read(p)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

func (l *streamLink) readTrailer() (string, error) { return l.trailer.lines.String(), l.lost }

func (l *streamLink) age() time.Duration { return 0 }

func (l *streamLink) write(head, body []byte) (int, error) {
	l.mu.Lock()
	l.writes++
	l.taken += len(head) + len(body)
	l.overrun = max(l.overrun, l.taken-l.narrow)
	err := l.writeErr
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return l.conn.Write(append(bytes.Clone(head), body...))
}

func (l *streamLink) room() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.noRoom {
		return 0
	}
	if l.narrow > 0 {
		return max(l.narrow-l.taken, 0)
	}
	return math.MaxInt
}

func (l *streamLink) awaitRoom() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits++
	l.taken = 0
	if l.onWait != nil {
		l.onWait()
	}
	return l.roomAfter
}

func (l *streamLink) sendFile(f *os.File, size int64) (int64, error) {
	if !l.sendOK {
		return 0, errNoSendFile
	}
	n, err := io.CopyN(l.conn, f, size)
	l.sentFiles += n
	return n, err
}

func (l *streamLink) setReadDeadline(t time.Time)  { _ = l.conn.SetReadDeadline(t) }
func (l *streamLink) setWriteDeadline(t time.Time) { _ = l.conn.SetWriteDeadline(t) }
func (l *streamLink) localAddr() net.Addr          { return l.conn.LocalAddr() }
func (l *streamLink) remoteAddr() net.Addr         { return l.conn.RemoteAddr() }

func (l *streamLink) remote() netip.AddrPort {
	if addr, ok := l.conn.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort()
	}
	return netip.AddrPort{}
}

func (l *streamLink) onGone(f func()) {
	l.mu.Lock()
	l.onGoneF = f
	gone := l.isGone
	l.mu.Unlock()
	if gone && f != nil {
		f()
	}
}

// gone does what the core does when the peer closes.
func (l *streamLink) gone() {
	l.mu.Lock()
	l.isGone = true
	f := l.onGoneF
	l.mu.Unlock()
	if f != nil {
		f()
	}
}

func (l *streamLink) hijack() (net.Conn, []byte, error) {
	rest, _ := l.input.Peek(l.input.Buffered())
	_ = l.conn.SetDeadline(time.Time{})
	return l.conn, bytes.Clone(rest), nil
}

func (l *streamLink) release(how uint32) { l.released <- how }

// A handlerServer serves handlers over streamLinks.
type handlerServer struct {
	t        *testing.T
	engine   *handlerEngine
	base     context.Context
	listener net.Listener
	table    *connTable
	setup    func(*streamLink)

	mu       sync.Mutex
	logged   []string
	releases []uint32
	links    []*streamLink
	shutting bool
	noKeep   bool
	next     uint64
	conns    sync.WaitGroup
	ended    sync.Map // from the address of a client to a chan that is closed when its connection is done with
}

func newHandlerServer(t *testing.T, handler http.HandlerFunc) *handlerServer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &handlerServer{t: t, listener: listener, base: context.Background()}
	s.engine = &handlerEngine{
		handler:  handler,
		server:   &http.Server{Addr: "shadow"},
		dates:    newDateCache(),
		drainMax: 256 << 10,
		closing: func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.shutting
		},
		keepAlives: func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return !s.noKeep
		},
		logf: func(format string, args ...any) { s.log(fmt.Sprintf(format, args...)) },
		logPanic: func(remote string, value any, stack []byte) {
			s.log(fmt.Sprintf("http: panic serving %v: %v\n%s", remote, value, stack))
		},
		pools: []goroutinePool{{idleMax: 4}},
	}
	go s.accept()
	t.Cleanup(func() {
		listener.Close()
		s.engine.pools[0].close()
		s.conns.Wait()
		require.Zero(t, s.engine.counters.running.Load())
	})
	return s
}

func (s *handlerServer) log(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logged = append(s.logged, line)
}

func (s *handlerServer) logs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.logged, "\n")
}

func (s *handlerServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.conns.Go(func() { s.serve(conn) })
	}
}

// serve does what the core does with a connection.
func (s *handlerServer) serve(conn net.Conn) {
	defer close(s.end(conn.RemoteAddr()))
	l := &streamLink{conn: conn, input: bufio.NewReaderSize(conn, 1<<20), released: make(chan uint32, 1), sendOK: true}
	s.mu.Lock()
	if s.setup != nil {
		s.setup(l)
	}
	s.links = append(s.links, l)
	s.next++
	number := s.next
	s.mu.Unlock()
	if s.table != nil {
		s.table.opened(0, number, conn.LocalAddr(), conn.RemoteAddr())
	}
	for {
		h := readHanded(s.t, l)
		if h == nil {
			conn.Close()
			break
		}
		h.base = s.base
		if s.table != nil {
			h.conn = s.table.find(0, number)
		}
		hijacked := s.engine.counters.hijacked.Load()
		s.engine.serve(h)
		if s.engine.counters.hijacked.Load() != hijacked {
			return
		}
		how := <-l.released
		s.mu.Lock()
		s.releases = append(s.releases, how)
		s.mu.Unlock()
		if how == abi.ReleaseKeep {
			continue
		}
		if how == abi.ReleaseAbort {
			_ = conn.(*net.TCPConn).SetLinger(0)
		} else {
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.Copy(io.Discard, l.input)
		}
		conn.Close()
		break
	}
	if s.table != nil {
		s.table.closed(0, number)
	}
}

func (s *handlerServer) end(client net.Addr) chan struct{} {
	ended, _ := s.ended.LoadOrStore(client.String(), make(chan struct{}))
	return ended.(chan struct{})
}

// link returns the link of the first connection.
func (s *handlerServer) link() *streamLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[0]
}

// readHanded waits for a request and takes what has come with it.
func readHanded(t *testing.T, l *streamLink) *handed {
	size := 4
	for {
		head, err := l.input.Peek(size)
		if bytes.Contains(head, []byte("\r\n\r\n")) {
			break
		}
		if err != nil {
			return nil
		}
		size = max(size+1, l.input.Buffered())
	}
	all, _ := l.input.Peek(l.input.Buffered())
	h, used := makeHanded(t, l, string(all))
	_, _ = l.input.Discard(used)
	if last := &h.requests[len(h.requests)-1]; last.Flags&abi.RequestBodyOpen != 0 {
		l.openBody(last)
	}
	return h
}

// openBody has tryReadBody read the body of raw.
func (l *streamLink) openBody(raw *abi.Request) {
	if raw.Flags&abi.RequestChunked != 0 {
		l.trailer = &trailerReader{from: l.input}
		l.body = io.MultiReader(httputil.NewChunkedReader(l.input), l.trailer)
		return
	}
	l.body = &exactReader{l.input, declaredOf(raw)}
}

// An exactReader reads size bytes, and says so when there are less.
type exactReader struct {
	from io.Reader
	left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.from.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// A trailerReader reads a trailer section as no bytes, and keeps its field lines.
type trailerReader struct {
	from  *bufio.Reader
	lines strings.Builder
	ended bool
}

func (r *trailerReader) Read([]byte) (int, error) {
	for !r.ended {
		line, err := r.from.ReadString('\n')
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if r.ended = line == "\r\n"; !r.ended {
			r.lines.WriteString(line)
		}
	}
	return 0, io.EOF
}

func declaredOf(raw *abi.Request) int64 {
	for _, f := range raw.FieldSlice() {
		if strings.EqualFold(string(raw.Bytes(f.NameOffset, f.NameSize)), "Content-Length") {
			size, _ := strconv.ParseInt(string(raw.Bytes(f.ValueOffset, f.ValueSize)), 10, 64)
			return size
		}
	}
	return 0
}

// makeHanded makes a handed of the requests at the beginning of text. It returns
// how much of text they take.
func makeHanded(t testing.TB, l link, text string) (*handed, int) {
	h := &handed{link: l, base: context.Background(), block: []byte(text)}
	at := 0
	for at < len(text) {
		end := strings.Index(text[at:], "\r\n\r\n")
		if end < 0 {
			break
		}
		head := text[at : at+end+4]
		chunked := strings.Contains(head, "Transfer-Encoding: chunked")
		parsable := head
		if chunked {
			parsable += "0\r\n\r\n"
		}
		parsed := parseArrival(t, arrival{1, parsable})
		raw := abi.MakeRequest(h.block[at:], parsed.FieldSlice(), nil)
		base, fields := raw.Base, raw.Fields
		raw = parsed
		raw.Base, raw.Fields = base, fields
		at += len(head)
		body, trailerSize, used, complete := takeBody(h.block[at:], chunked, declaredOf(&raw))
		whole := abi.MakeRequest(nil, nil, body)
		raw.Body, raw.BodySize = whole.Body, uint64(len(body)-trailerSize)
		at += used
		if !complete {
			raw.Flags |= abi.RequestBodyOpen
			if strings.Contains(head, "Expect: 100-continue") {
				raw.Flags |= abi.RequestContinue
			}
		}
		h.requests = append(h.requests, raw)
		h.fields = append(h.fields, raw.FieldSlice()...)
		if !complete {
			break
		}
	}
	h.block = h.block[:at]
	return h, at
}

// takeBody returns the body at the beginning of data with the trailer section behind
// it, whose size is trailerSize, and the size of both in data.
func takeBody(data []byte, chunked bool, declared int64) (body []byte, trailerSize, used int, complete bool) {
	if !chunked {
		if int64(len(data)) < declared {
			return nil, 0, 0, false
		}
		return data[:declared:declared], 0, int(declared), true
	}
	unread := bytes.NewReader(data)
	from := bufio.NewReader(unread)
	trailer := &trailerReader{from: from}
	body, err := io.ReadAll(io.MultiReader(httputil.NewChunkedReader(from), trailer))
	if err != nil {
		return nil, 0, 0, false
	}
	section := trailer.lines.String() + "\r\n"
	return append(body, section...), len(section), len(data) - unread.Len() - from.Buffered(), true
}

// exchange sends text on a new connection and returns all that comes back, when
// the connection is done with.
func (s *handlerServer) exchange(text string) string {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, text)
	require.NoError(s.t, err)
	require.NoError(s.t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(s.t, err)
	<-s.end(conn.LocalAddr())
	return string(answer)
}

// addr returns where to connect. What was set in s before is set for the connection.
func (s *handlerServer) addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Addr()
}

func (s *handlerServer) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr().String())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}
