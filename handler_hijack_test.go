package kourier

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// c.4 83, 85: everything unread is in the buffer, and the connection is the real one.
func TestHijackersGetWhatNobodyHasRead(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		read int64 // of the body, before
		want string
	}{
		"nothing":                {get("/"), 0, ""},
		"what follows":           {get("/") + "not HTTP", 0, "not HTTP"},
		"pipelined requests":     {get("/") + get("/b") + get("/c") + "more", 0, get("/b") + get("/c") + "more"},
		"a body":                 {postSized(4) + "body" + get("/b"), 0, "body" + get("/b")},
		"half a body":            {postSized(4) + "body", 2, "dy"},
		"an open body":           {postSized(9) + "body", 2, "dy"},
		"a large body":           {postSized(100000) + string(sized(100000)), 0, string(sized(100000))},
		"chunks, open":           {post("Transfer-Encoding: chunked") + "4\r\nbody", 0, "4\r\nbody"},
		"behind whole chunks":    {post("Transfer-Encoding: chunked") + "4\r\nbody\r\n0\r\n\r\n" + get("/b"), 0, get("/b")},
		"behind read, and whole": {postSized(4) + "body" + get("/b"), 4, get("/b")},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				_, err := io.CopyN(io.Discard, r.Body, test.read)
				require.NoError(t, err)
				conn, buffered, err := w.(http.Hijacker).Hijack()
				require.NoError(t, err)
				defer conn.Close()
				require.IsType(t, (*net.TCPConn)(nil), conn)
				require.GreaterOrEqual(t, buffered.Reader.Size(), 4096)
				require.GreaterOrEqual(t, buffered.Writer.Size(), 4096)
				got := make([]byte, len(test.want))
				_, err = io.ReadFull(buffered, got)
				require.NoError(t, err)
				require.Equal(t, test.want, string(got))
				_, err = io.WriteString(buffered, "raw")
				require.NoError(t, err)
				require.NoError(t, buffered.Flush())
				rest, err := io.ReadAll(buffered) // from the connection
				require.NoError(t, err)
				require.Equal(t, "later", string(rest))
			})
			conn, reader := s.send(test.text)
			three := make([]byte, 3)
			_, err := io.ReadFull(reader, three)
			require.NoError(t, err)
			require.Equal(t, "raw", string(three))
			_, err = io.WriteString(conn, "later")
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			<-done
		})
	}
}

// Libraries for WebSocket take over the buffered bytes and reset the reader.
func TestHijackedBytesAreBuffered(t *testing.T) {
	done := make(chan struct{})
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		conn, buffered, err := w.(http.Hijacker).Hijack()
		require.NoError(t, err)
		defer conn.Close()
		require.Equal(t, len(get("/b")), buffered.Reader.Buffered())
		bytes, err := buffered.Peek(buffered.Reader.Buffered())
		require.NoError(t, err)
		require.Equal(t, get("/b"), string(bytes))
	})
	s.exchange(get("/a") + get("/b"))
	<-done
}

// The body and the hijacker read from one stream, as with net/http.
func TestTheBodyIsReadableAfterHijack(t *testing.T) {
	for name, text := range map[string]string{
		"whole":  postSized(4) + "bodynext",
		"open":   postSized(4) + "bo",
		"chunks": post("Transfer-Encoding: chunked") + "4\r\nbody\r\n0\r\n\r\nnext",
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				conn, buffered, err := w.(http.Hijacker).Hijack()
				require.NoError(t, err)
				defer conn.Close()
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, "body", string(body))
				rest, err := io.ReadAll(buffered)
				require.NoError(t, err)
				require.Equal(t, "next", string(rest))
			})
			conn, reader := s.send(text)
			if name == "open" {
				_, err := io.WriteString(conn, "dynext")
				require.NoError(t, err)
			}
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			_, err := reader.ReadByte()
			require.Equal(t, io.EOF, err)
			<-done
		})
	}
}

// c.4 84, and what was written and flushed before goes first.
func TestAfterHijackTheWriterIsDead(t *testing.T) {
	done := make(chan context.Context, 1)
	var s *handlerServer
	s = newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			_, _ = io.WriteString(w, "first")
			return
		}
		_, _ = io.WriteString(w, "Hello, ")
		w.(http.Flusher).Flush()
		conn, buffered, err := w.(http.Hijacker).Hijack()
		require.NoError(t, err)
		defer conn.Close()
		_, _, err = w.(http.Hijacker).Hijack()
		require.Equal(t, http.ErrHijacked, err)
		_, err = io.WriteString(w, "x")
		require.Equal(t, http.ErrHijacked, err)
		_, err = w.Write(nil)
		require.Equal(t, http.ErrHijacked, err)
		w.WriteHeader(500)
		require.Equal(t, http.ErrHijacked, http.NewResponseController(w).Flush())
		_, _ = io.WriteString(buffered, "6\r\nWorld!\r\n0\r\n\r\n")
		require.NoError(t, buffered.Flush())
		s.link().gone() // nobody listens any more
		require.NoError(t, r.Context().Err())
		done <- r.Context()
		panic("logged, and the connection is left alone")
	})
	answers := readAnswers(t, s.exchange(get("/first")+get("/second")+get("/third")), "GET", "GET")
	require.Equal(t, "first", answers[0].text)
	require.Equal(t, "Hello, World!", answers[1].text)
	<-(<-done).Done()
	require.Contains(t, s.logs(), "http: response.Write on hijacked connection from io.WriteString")
	require.Contains(t, s.logs(), "http: response.WriteHeader on hijacked connection from github.com/kourier-go/kourier.TestAfterHijack")
	require.Eventually(t, func() bool { return strings.Contains(s.logs(), "http: panic serving") }, waitMax, pollPeriod)
	require.EqualValues(t, 1, s.engine.counters.hijacked.Load())
	require.Empty(t, s.releases)
}

func TestHijackFailsOnALostConnection(t *testing.T) {
	e := benchmarkEngine(func(w http.ResponseWriter, _ *http.Request) {
		_, _, err := w.(http.Hijacker).Hijack()
		require.ErrorIs(t, err, net.ErrClosed)
	})
	l := &memoryLink{released: make(chan uint32, 1)}
	h, _ := makeHanded(t, l, get("/"))
	e.serve(h)
	require.NotZero(t, <-l.released)
}

func TestUpgrade(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buffered, err := w.(http.Hijacker).Hijack()
		require.NoError(t, err)
		defer conn.Close()
		_, _ = io.Copy(conn, buffered)
	})
	conn, reader := s.send(request("GET", "/", "HTTP/1.1", "Connection: upgrade", "Upgrade: echo") + "early ")
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	_, err = io.WriteString(conn, "late")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	echoed, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, "early late", string(echoed))
}
