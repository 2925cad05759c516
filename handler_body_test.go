package kourier

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

func post(fields ...string) string { return request("POST", "/", "HTTP/1.1", fields...) }

func postSized(size int) string { return post(fmt.Sprint("Content-Length: ", size)) }

// chunks writes data out as chunks of 1000 bytes, without the last one.
func chunks(data []byte) string {
	var text strings.Builder
	for len(data) > 0 {
		size := min(1000, len(data))
		fmt.Fprintf(&text, "%x\r\n%s\r\n", size, data[:size])
		data = data[size:]
	}
	return text.String()
}

// send sends text and returns the connection and a reader of what comes back.
func (s *handlerServer) send(text string) (io.Writer, *bufio.Reader) {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, text)
	require.NoError(s.t, err)
	return conn, bufio.NewReader(conn)
}

func (s *handlerServer) answer(reader *bufio.Reader) seenAnswer {
	s.t.Helper()
	response, err := http.ReadResponse(reader, nil)
	require.NoError(s.t, err)
	body, err := io.ReadAll(response.Body)
	return seenAnswer{response, string(body), err}
}

// c.2 36: whole or in parts, sized or chunked.
func TestBodiesAreReadWhole(t *testing.T) {
	t.Run("Read", func(t *testing.T) { bodiesAreReadWhole(t, io.ReadAll) })
	t.Run("WriteTo", func(t *testing.T) {
		bodiesAreReadWhole(t, func(r io.Reader) ([]byte, error) {
			var body bytes.Buffer
			n, err := r.(io.WriterTo).WriteTo(&body)
			require.EqualValues(t, n, body.Len())
			return body.Bytes(), err
		})
	})
}

func bodiesAreReadWhole(t *testing.T, readAll func(io.Reader) ([]byte, error)) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, err := readAll(r.Body)
		require.NoError(t, err)
		n, err := r.Body.Read(make([]byte, 1))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
		_, _ = w.Write(body)
	}
	for _, size := range []int{1, 3, 1000, 100000} {
		s := newHandlerServer(t, echo)
		body := sized(size)
		for _, parts := range [][2]string{
			{postSized(size) + string(body), ""},
			{postSized(size), string(body)},
			{postSized(size) + string(body[:size/2]), string(body[size/2:])},
			{post("Transfer-Encoding: chunked") + chunks(body), "0\r\n\r\n"},
			{post("Transfer-Encoding: chunked"), chunks(body) + "0\r\n\r\n"},
			{post("Transfer-Encoding: chunked") + chunks(body) + "0\r\n\r\n", ""},
		} {
			conn, reader := s.send("")
			for range 2 {
				for _, part := range parts {
					_, err := io.WriteString(conn, part)
					require.NoError(t, err)
				}
				require.Equal(t, string(body), s.answer(reader).text)
			}
		}
	}
}

// A writerFunc writes as it is told to.
type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

func TestACopyOfABodyEndsAsItsWriterDoes(t *testing.T) {
	var failure error
	body := string(sized(copySize)) + "y"
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		var read int
		n, err := io.Copy(writerFunc(func(p []byte) (int, error) {
			read = len(p)
			return 1, failure
		}), r.Body)
		require.EqualValues(t, 1, n)
		if failure == nil {
			failure = io.ErrShortWrite
		}
		require.Equal(t, failure, err)
		rest, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, body[read:], string(rest), "what was not read yet is still there")
		require.NoError(t, r.Body.Close())
		_, err = io.Copy(io.Discard, r.Body)
		require.Equal(t, http.ErrBodyReadAfterClose, err)
	})
	conn, reader := s.send("")
	for _, failure = range []error{nil, io.EOF, io.ErrClosedPipe} {
		_, err := io.WriteString(conn, postSized(len(body))+body)
		require.NoError(t, err)
		require.Equal(t, 200, s.answer(reader).StatusCode)
	}
}

// c.2 28, 29, 30
func TestContinueIsSentOnTheFirstRead(t *testing.T) {
	expecting := post("Expect: 100-continue", "Content-Length: 4")
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			_, _ = r.Body.Read(nil)
		}
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		_, _ = w.Write(body)
	})
	conn, reader := s.send(get("/") + expecting)
	require.Empty(t, s.answer(reader).text, "answered before the client is told to send")
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, _ = reader.ReadString('\n')
	_, err = io.WriteString(conn, "body"+get("/"))
	require.NoError(t, err)
	require.Equal(t, "body", s.answer(reader).text)
	require.False(t, s.answer(reader).Close)

	for name, handler := range map[string]http.HandlerFunc{
		"written first": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			go func() { _, _ = r.Body.Read(make([]byte, 1)) }()
		},
		"not read":     func(http.ResponseWriter, *http.Request) {},
		"closed":       func(_ http.ResponseWriter, r *http.Request) { r.Body.Close(); _, _ = r.Body.Read(make([]byte, 1)) },
		"told by hand": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(417) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newHandlerServer(t, handler)
			_, reader := s.send(expecting)
			answer := s.answer(reader)
			require.NotEqual(t, 100, answer.StatusCode)
			require.True(t, answer.Close)
		})
	}
}

// Nobody but who reads the body changes the request: not even a body that was read
// to make way for the answer.
func TestTrailersAreThereOnceAReadHasToldTheEnd(t *testing.T) {
	const chunk, end = "4\r\nbody\r\n", "0\r\nX-A: 1\r\n\r\n"
	for _, parts := range [][2]string{{chunk + end, ""}, {chunk, end}, {"", chunk + end}} {
		kept := make(chan *http.Request, 1)
		s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
			announced := http.Header{"X-A": nil}
			require.Equal(t, announced, r.Trailer)
			if r.URL.Path == "/unread" {
				kept <- r
				return
			}
			if r.URL.Path == "/duplex" {
				require.NoError(t, http.NewResponseController(w).EnableFullDuplex())
			}
			body := make([]byte, 4)
			_, err := io.ReadFull(r.Body, body[:3])
			require.NoError(t, err)
			require.Equal(t, announced, r.Trailer)
			_, _ = w.Write(sized(10_000))
			require.Equal(t, announced, r.Trailer)
			_, err = io.ReadAll(r.Body)
			if r.URL.Path != "/duplex" && err != nil { // it has not come whole with the head
				require.Equal(t, http.ErrBodyReadAfterClose, err)
				require.Equal(t, announced, r.Trailer)
				return
			}
			require.NoError(t, err)
			require.Equal(t, http.Header{"X-A": {"1"}}, r.Trailer)
			r.Trailer.Set("X-A", "2")
			_, err = r.Body.Read(body)
			require.Equal(t, io.EOF, err)
			require.Equal(t, http.Header{"X-A": {"2"}}, r.Trailer, "they come once")
		})
		for _, path := range []string{"/", "/duplex", "/unread"} {
			conn, reader := s.send(request("POST", path, "HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: x-a") + parts[0])
			_, err := io.WriteString(conn, parts[1])
			require.NoError(t, err)
			require.False(t, s.answer(reader).Close)
		}
		require.Equal(t, http.Header{"X-A": nil}, (<-kept).Trailer)
	}
}

func TestBodiesCannotBeReadTooLate(t *testing.T) {
	bodies := make(chan io.Reader, 1)
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			require.NoError(t, r.Body.Close())
			require.NoError(t, r.Body.Close())
			_, err := r.Body.Read(make([]byte, 1))
			require.Equal(t, http.ErrBodyReadAfterClose, err)
		}
		bodies <- r.Body
	})
	for _, text := range []string{postSized(4) + "body", postSized(4) + "bo", request("POST", "/open", "HTTP/1.1", "Content-Length: 4") + "body"} {
		s.exchange(text)
		_, err := (<-bodies).Read(make([]byte, 1))
		require.Equal(t, http.ErrBodyReadAfterClose, err)
	}
}

// c.2 33: also when the rest never comes.
func TestCloseDoesNotWaitForTheBody(t *testing.T) {
	closed := make(chan struct{})
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.Body.Close())
		close(closed)
	})
	_, _ = s.send(postSized(100))
	<-closed
}

func TestHandlersMayReplaceTheBody(t *testing.T) {
	for _, replacement := range []io.ReadCloser{nil, http.NoBody, io.NopCloser(strings.NewReader("x"))} {
		s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
			r.Body = replacement
			_, _ = io.WriteString(w, "x")
		})
		conn, reader := s.send(postSized(4))
		_, err := io.WriteString(conn, "body"+get("/"))
		require.NoError(t, err)
		require.False(t, s.answer(reader).Close)
		require.Equal(t, 200, s.answer(reader).StatusCode)
	}
}

// c.2 37, 38; c.6 115: what is not read is drained, or the connection closes;
// never is the next request read out of a body.
func TestUnreadBodies(t *testing.T) {
	const limit = 256 << 10
	for _, size := range []int{0, 1, 64 << 10, limit - 1, limit, limit + 1, 4 * limit} {
		for _, framing := range []string{"sized", "chunked"} {
			for _, read := range []int64{0, 1} {
				t.Run(fmt.Sprint(framing, size, "read", read), func(t *testing.T) {
					paths := make(chan string, 3)
					s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.CopyN(io.Discard, r.Body, read)
						paths <- r.URL.Path
					})
					head, body := postSized(size), string(sized(size))
					if framing == "chunked" {
						head, body = post("Transfer-Encoding: chunked"), chunks(sized(size))+"0\r\n\r\n"
					}
					conn, reader := s.send(head)
					go func() { _, _ = io.WriteString(conn, body+get("/next")) }()
					first := s.answer(reader)
					require.Equal(t, 200, first.StatusCode)
					whole := int64(size)-read <= limit
					// What has come with the head is in memory, so that even more may be no trouble.
					if whole {
						require.False(t, first.Close)
						require.Equal(t, 200, s.answer(reader).StatusCode)
					} else if first.Close {
						_, err := reader.ReadByte()
						require.Error(t, err)
					}
					require.Equal(t, "/", <-paths)
					if len(paths) > 0 {
						require.Equal(t, "/next", <-paths)
					}
				})
			}
		}
	}
}

func TestABodyThatIsTooLargeToDrainClosesTheConnection(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
		conn, reader := s.send(post(framing))
		go func() { _, _ = io.WriteString(conn, chunks(sized(400<<10))) }()
		require.True(t, s.answer(reader).Close)
		require.Equal(t, []uint32{abi.ReleaseClose}, s.waitForRelease(1))
	}
}

// c.2 39: with MaxBytesReader nobody tells a foreign writer that the limit was
// hit. What is left decides: little is drained, and with much the connection closes.
func TestMaxBytesReader(t *testing.T) {
	for _, size := range []int{100, 1 << 20} {
		s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			var tooLarge *http.MaxBytesError
			require.ErrorAs(t, err, &tooLarge)
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		})
		conn, reader := s.send(postSized(size))
		go func() { _, _ = conn.Write(sized(size)) }()
		answer := s.answer(reader)
		require.Equal(t, http.StatusRequestEntityTooLarge, answer.StatusCode)
		require.Equal(t, size > 256<<10, answer.Close)
	}
}

// c.2 42
func TestFullDuplex(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		require.NoError(t, controller.EnableFullDuplex())
		for range min(3, r.ContentLength) {
			line := make([]byte, 2)
			_, err := io.ReadFull(r.Body, line)
			require.NoError(t, err)
			_, _ = w.Write(line)
			require.NoError(t, controller.Flush())
		}
	})
	conn, reader := s.send(postSized(8))
	_, err := io.WriteString(conn, "1\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	body := bufio.NewReader(response.Body)
	for i := range 3 {
		line, err := body.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i+1, "\n"), line)
		_, err = io.WriteString(conn, fmt.Sprint(i+2, "\n"))
		require.NoError(t, err)
	}
	_, err = body.ReadByte()
	require.Equal(t, io.EOF, err)
	_, err = io.WriteString(conn, get("/")) // the rest of the body was drained behind the answer
	require.NoError(t, err)
	_, err = http.ReadResponse(reader, nil)
	require.NoError(t, err)
}

// c.2 32
func TestBodiesAreReadAndAnswersWrittenAtOnce(t *testing.T) {
	body := sized(200000)
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, http.NewResponseController(w).EnableFullDuplex())
		var users sync.WaitGroup
		var mu sync.Mutex
		read := 0
		for range 2 {
			users.Go(func() {
				part := make([]byte, 1000)
				for {
					n, err := r.Body.Read(part)
					mu.Lock()
					read += n
					mu.Unlock()
					if err != nil {
						require.Equal(t, io.EOF, err)
						return
					}
				}
			})
		}
		for range 100 {
			_, _ = w.Write(sized(1000))
		}
		users.Wait()
		require.Equal(t, len(body), read)
	})
	conn, reader := s.send(postSized(len(body)))
	go func() { _, _ = conn.Write(body) }()
	require.Len(t, s.answer(reader).text, 100000)
}

// A goroutine that still reads does not hold up the answer.
func TestAReaderThatOutlivesItsHandlerIsInterrupted(t *testing.T) {
	errs := make(chan error, 1)
	s := newHandlerServer(t, nil)
	reads := make(chan struct{}, 10)
	s.setup = func(l *streamLink) { l.reads = reads }
	s.engine.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() {
			_, err := r.Body.Read(make([]byte, 1))
			errs <- err
		}()
		<-reads
		_ = http.NewResponseController(w).EnableFullDuplex()
	})
	_, reader := s.send(postSized(100))
	require.True(t, s.answer(reader).Close)
	require.ErrorIs(t, <-errs, os.ErrDeadlineExceeded)
}

// c.2 36, 40, 41, 15
func TestErrorsOfBodies(t *testing.T) {
	var got error
	handler := func(_ http.ResponseWriter, r *http.Request) {
		_, got = io.ReadAll(r.Body)
		_, again := r.Body.Read(make([]byte, 1))
		require.Equal(t, got, again)
	}
	t.Run("short", func(t *testing.T) {
		for _, text := range []string{postSized(10) + "short", post("Transfer-Encoding: chunked") + "a\r\nshort"} {
			s := newHandlerServer(t, handler)
			require.True(t, readAnswers(t, s.exchange(text), "POST")[0].Close)
			require.Equal(t, io.ErrUnexpectedEOF, got)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		s := newHandlerServer(t, handler)
		s.engine.readTimeout = 20 * time.Millisecond
		_, reader := s.send(postSized(10) + "begun")
		require.True(t, s.answer(reader).Close)
		require.ErrorIs(t, got, os.ErrDeadlineExceeded)
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, got, &timeout)
		require.True(t, timeout.Timeout())
	})
	t.Run("refused", func(t *testing.T) {
		for code, text := range map[int]string{400: "kourier: request body refused: 400 Bad Request", 413: "http: request body too large"} {
			s := newHandlerServer(t, handler)
			s.engine.maxBodyBytes = 7
			s.setup = func(l *streamLink) { l.refusal = &bodyError{code} }
			_, reader := s.send(postSized(10))
			require.True(t, s.answer(reader).Close)
			require.EqualError(t, got, text)
		}

	})
	t.Run("no trailer", func(t *testing.T) {
		s := newHandlerServer(t, handler)
		reads := make(chan struct{}, 10)
		s.setup = func(l *streamLink) { l.reads, l.lost = reads, errPeerGone }
		conn, reader := s.send(post("Transfer-Encoding: chunked"))
		<-reads
		_, err := io.WriteString(conn, "0\r\n\r\n")
		require.NoError(t, err)
		require.True(t, s.answer(reader).Close)
		require.Equal(t, errPeerGone, got)
	})
	t.Run("deadline, moved", func(t *testing.T) {
		s := newHandlerServer(t, nil)
		timedOut := make(chan struct{})
		s.engine.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			controller := http.NewResponseController(w)
			require.NoError(t, controller.SetReadDeadline(longAgo))
			_, err := r.Body.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, controller.SetReadDeadline(time.Time{}))
			close(timedOut)
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			_, _ = w.Write(body)
		})
		conn, reader := s.send(postSized(4))
		<-timedOut
		_, err := io.WriteString(conn, "body")
		require.NoError(t, err)
		answer := s.answer(reader)
		require.Equal(t, "body", answer.text)
		require.False(t, answer.Close)
	})
}
