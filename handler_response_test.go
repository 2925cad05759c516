package kourier

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

// handlers write answers in all the ways that there are. What net/http's server
// makes of each is what they are to get here.
var handlers = map[string]http.HandlerFunc{
	"nothing":       func(http.ResponseWriter, *http.Request) {},
	"small":         func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") },
	"html":          func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><body>") },
	"empty write":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) },
	"just fits":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sized(2048)) },
	"just too much": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sized(2049)) },
	"large":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sized(300 << 10)) },
	"pieces": func(w http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			_, _ = fmt.Fprintf(w, "line %d\n", i)
		}
	},
	"flushed first": func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "late")
	},
	"flushed": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "early ")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "late")
	},
	"declared": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "small")
	},
	"declared and large": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(sized(100000))
	},
	"declared zero":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
	"declared empty": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Length"] = []string{""} },
	"declared wrong": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "five")
		_, _ = io.WriteString(w, "small")
	},
	"declared nil": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = nil
		_, _ = io.WriteString(w, "small")
	},
	"too much": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		n, err := io.WriteString(w, "more")
		if n != 0 || err != http.ErrContentLength { //nolint:errorlint // the very value
			panic("no error")
		}
	},
	"too little": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "30")
		_, _ = io.WriteString(w, "less")
	},
	"204": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/x")
		w.Header().Set("Content-Length", "7")
		w.WriteHeader(204)
		if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed { //nolint:errorlint // the very value
			panic(err)
		}
	},
	"304": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/x")
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(304)
	},
	"205":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(205) },
	"404":          http.NotFound,
	"redirect":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) },
	"unknown code": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) },
	"no date":      func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil },
	"no type": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "x")
	},
	"encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "x")
	},
	"identity": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "identity")
		_, _ = io.WriteString(w, "x")
	},
	"chunked": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		_, _ = io.WriteString(w, "x")
	},
	"chunked twice": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		w.Header().Set("Content-Length", "1")
		_, _ = io.WriteString(w, "x")
	},
	"close": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "x")
	},
	"keep-alive": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "keep-alive")
		_, _ = io.WriteString(w, "x")
	},
	"fields": func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Add("X-A", "1")
		h.Add("X-A", "2")
		h["lower-case"] = []string{"kept"}
		h["not a token"] = []string{"skipped"}
		h.Set("X-Lines", "a\r\nInjected: b")
		h.Set("X-Blanks", "  c  ")
	},
	"frozen": func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("X-A", "before")
		w.WriteHeader(200)
		h.Set("X-A", "after")
		w.Header().Set("X-B", "after")
		h.Set("Content-Type", "after")
		_, _ = io.WriteString(w, "x")
	},
	"superfluous": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		w.WriteHeader(202)
	},
	"trailers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-A, x-b, Content-Length")
		w.Header().Add("Trailer", "X-C")
		_, _ = io.WriteString(w, "x")
		w.Header().Set("X-A", "1")
		w.Header().Set("X-C", "3")
		w.Header().Set("X-D", "not announced")
	},
	"trailers, undeclared": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "field")
		w.Header().Set(http.TrailerPrefix+"X-A", "1")
		w.(http.Flusher).Flush()
		w.Header().Add(http.TrailerPrefix+"X-A", "2")
	},
	"read from": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first ")
		_, _ = w.(io.ReaderFrom).ReadFrom(io.LimitReader(strings.NewReader(strings.Repeat("x", 100000)), 90000))
		_, _ = io.WriteString(w, "last")
	},
	"read from, small": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("small"))
	},
	"error": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		http.Error(w, "something else", 500)
	},
	"file": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "handler_response_test.go") },
}

// c.3, line by line: heads, framing, bodies and whether the connection persists.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	requests := map[string]string{
		"GET":            get("/"),
		"HEAD":           request("HEAD", "/", "HTTP/1.1"),
		"range":          request("GET", "/", "HTTP/1.1", "Range: bytes=100-50000"),
		"close":          request("GET", "/", "HTTP/1.1", "Connection: close"),
		"1.0":            request("GET", "/", "HTTP/1.0"),
		"1.0 keep-alive": request("GET", "/", "HTTP/1.0", "Connection: keep-alive"),
		"1.0 HEAD":       request("HEAD", "/", "HTTP/1.0", "Connection: keep-alive"),
		"body":           request("POST", "/", "HTTP/1.1", "Content-Length: 4") + "body",
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			var theirs, ours strings.Builder
			reference := httptest.NewUnstartedServer(handler)
			reference.Config.ErrorLog = log.New(&theirs, "", 0)
			reference.Start()
			defer reference.Close()
			s := newHandlerServer(t, handler)
			for kind, text := range requests {
				unchunked := kind == "HEAD" || strings.HasPrefix(kind, "1.0")
				if unchunked && (name == "declared empty" || name == "declared wrong" || name == "chunked twice") {
					continue // net/http sends a Content-Length that is no number, and promises to keep what it closes
				}
				want := strings.ReplaceAll(rawAnswer(t, reference.Listener.Addr(), text), "HTTP/1.0 ", "HTTP/1.1 ")
				got := rawAnswer(t, s.addr(), text)
				require.Equal(t, describe(t, text, want), describe(t, text, got), "%s\ntheirs %q\nours   %q", kind, headOf(want), headOf(got))
			}
			reference.Close()
			ours.WriteString(s.logs())
			require.Equal(t, lineKinds(theirs.String()), lineKinds(ours.String()))
		})
	}
}

// rawAnswer sends a request twice, the second time after half closing, so that
// the number of answers tells whether the connection persists.
func rawAnswer(t *testing.T, addr net.Addr, text string) string {
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, text+text)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(all)
}

// describe writes out what a client understands of answers.
func describe(t *testing.T, request, sent string) string {
	method, _, _ := strings.Cut(request, " ")
	reader := bufio.NewReader(strings.NewReader(sent))
	var all strings.Builder
	for {
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			fmt.Fprintln(&all, "end:", err)
			return all.String()
		}
		body, err := io.ReadAll(response.Body)
		if response.Header.Get("Date") != "" {
			response.Header.Set("Date", "some day")
		}
		contentType := response.Header.Get("Content-Type")
		if _, boundary, found := strings.Cut(contentType, "boundary="); found {
			body = bytes.ReplaceAll(body, []byte(boundary), nil)
		}
		fmt.Fprintln(&all, response.Status, response.ContentLength, response.TransferEncoding, response.Header, response.Trailer,
			len(body), string(body[:min(len(body), 100)]), err)
	}
}

// lineKinds returns the set of what was logged, without places and numbers.
func lineKinds(logged string) map[string]bool {
	kinds := map[string]bool{}
	for line := range strings.Lines(logged) {
		kind, _, _ := strings.Cut(strings.TrimSpace(line), " from ")
		kinds[kind] = true
	}
	return kinds
}

func TestWriteHeaderPanicsOnCodesWithoutThreeDigits(t *testing.T) {
	for _, code := range []int{-1, 0, 99, 1000} {
		s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
			require.PanicsWithValue(t, fmt.Sprintf("invalid WriteHeader code %v", code), func() { w.WriteHeader(code) })
			w.WriteHeader(201)
		})
		require.Equal(t, 201, readAnswers(t, s.exchange(get("/")), "GET")[0].StatusCode)
	}
}

func TestMisuseIsLoggedWithItsPlace(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		w.WriteHeader(202)
	})
	s.exchange(get("/"))
	require.Contains(t, s.logs(), "http: superfluous response.WriteHeader call from github.com/kourier-go/kourier.TestMisuseIsLoggedWithItsPlace")
	require.Contains(t, s.logs(), "(handler_response_test.go:")
}

// c.3 47: any number, at once, and the header stays open.
func TestInterimAnswers(t *testing.T) {
	release := make(chan struct{})
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.Header().Set("Content-Length", "1")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(199)
		if r.ProtoMinor == 1 {
			<-release
		}
		w.Header().Set("X-Final", "yes")
		_, _ = io.WriteString(w, "x")
	})
	conn := s.dial()
	_, err := io.WriteString(conn, get("/"))
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	for _, want := range []string{"103 Early Hints", "199 status code 199"} {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		require.Equal(t, want, response.Status)
		require.Equal(t, http.Header{"Link": {"</a>"}}, response.Header)
	}
	close(release)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	require.Equal(t, "yes", response.Header.Get("X-Final"))
	require.Equal(t, "</a>", response.Header.Get("Link"))

	answers := readAnswers(t, s.exchange(request("GET", "/", "HTTP/1.0")), "GET")
	require.Equal(t, "x", answers[0].text, "RFC 9110 §15.2: none to HTTP/1.0")
}

// c.3 48: no framing, and nothing else is read as HTTP.
func TestSwitchingProtocols(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "x")
		w.WriteHeader(http.StatusSwitchingProtocols)
		_, err := io.WriteString(w, "x")
		require.ErrorIs(t, err, http.ErrBodyNotAllowed)
	})
	sent := s.exchange(get("/") + get("/"))
	require.True(t, strings.HasPrefix(sent, "HTTP/1.1 101 Switching Protocols\r\n"))
	require.Contains(t, sent, "Connection: Upgrade\r\n")
	require.NotContains(t, sent, "Content-Length")
	require.Equal(t, 1, strings.Count(sent, "HTTP/1.1"))
}

// RFC 9110 §9.3.6: what follows the head is the tunnel's.
func TestAnswersToConnectAreNotFramed(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "raw") })
	sent := s.exchange(request("CONNECT", "example.org:443", "HTTP/1.1"))
	require.True(t, strings.HasSuffix(sent, "\r\n\r\nraw"), sent)
	require.NotContains(t, sent, "Content-Length")
	require.NotContains(t, sent, "Transfer-Encoding")
}

// Prefixed trailers that come after the body of a small answer are sent too.
func TestLateTrailersForceChunks(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "small")
		w.Header().Set(http.TrailerPrefix+"X-A", "1")
	})
	require.Equal(t, http.Header{"X-A": {"1"}}, readAnswers(t, s.exchange(get("/")), "GET")[0].Trailer)
}

// c.3 71: middleware looks for combinations.
func TestTheWriterHasAllOptionalMethods(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, all := w.(interface {
			http.Flusher
			http.Hijacker
			io.ReaderFrom
			io.StringWriter
			http.CloseNotifier //nolint:staticcheck // deprecated, and still used
			FlushError() error
			SetReadDeadline(time.Time) error
			SetWriteDeadline(time.Time) error
			EnableFullDuplex() error
		})
		require.True(t, all)
		_, pusher := w.(http.Pusher)
		require.False(t, pusher)
		controller := http.NewResponseController(struct{ wrapper }{wrapper{w}})
		require.NoError(t, controller.SetReadDeadline(time.Time{}))
		require.NoError(t, controller.SetWriteDeadline(time.Time{}))
		require.NoError(t, controller.EnableFullDuplex())
		require.NoError(t, controller.Flush())
	})
	require.Equal(t, 200, readAnswers(t, s.exchange(get("/")), "GET")[0].StatusCode)
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// c.3 73: and it does not reach the requests after it either.
func TestAWriterThatIsKeptIsHarmless(t *testing.T) {
	kept := make(chan http.ResponseWriter, 1)
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			kept <- w
			return
		}
		stale := <-kept
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				_, err := stale.Write([]byte("stale"))
				require.ErrorIs(t, err, ErrRequestDone)
				stale.WriteHeader(500)
				require.ErrorIs(t, stale.(*responseWriter).FlushError(), ErrRequestDone)
				require.ErrorIs(t, stale.(*responseWriter).SetWriteDeadline(time.Now()), ErrRequestDone)
				_, err = stale.(io.ReaderFrom).ReadFrom(strings.NewReader("stale"))
				require.ErrorIs(t, err, ErrRequestDone)
				require.PanicsWithValue(t, "net/http: Hijack called after ServeHTTP finished", func() { _, _, _ = stale.(http.Hijacker).Hijack() })
				require.Panics(t, func() { stale.(http.CloseNotifier).CloseNotify() }) //nolint:staticcheck // deprecated, and still used
			})
		}
		_, _ = io.WriteString(w, "fresh")
		users.Wait()
	})
	answers := readAnswers(t, s.exchange(get("/first")+get("/second")), "GET", "GET")
	require.Equal(t, "fresh", answers[1].text)
}

// Nor those of another connection, which has the same sender by then.
func TestAWriterThatIsKeptReachesNoOtherConnection(t *testing.T) {
	e := benchmarkEngine(nil)
	first, second := &memoryLink{}, &memoryLink{}
	h, _ := makeHanded(t, first, get("/"))
	s := newSender(first)
	kept := e.newExchange(s, h, 0)
	require.True(t, s.answer.finish())
	h, _ = makeHanded(t, second, get("/"))
	s.link = second // as if it had been given back and taken again
	other := e.newExchange(s, h, 0)
	_, err := kept.writer.Write([]byte("stale"))
	require.ErrorIs(t, err, ErrRequestDone)
	kept.writer.WriteHeader(http.StatusTeapot)
	kept.writer.Header().Set("X", "stale")
	require.ErrorIs(t, kept.writer.EnableFullDuplex(), ErrRequestDone)
	require.False(t, s.answer.wroteHeader || s.answer.fullDuplex)
	require.Empty(t, s.body)
	_, err = other.writer.Write([]byte("fresh"))
	require.NoError(t, err)
	require.True(t, s.answer.finish())
	require.Equal(t, 2, bytes.Count(s.pending, []byte(" 200 OK")))
	require.NotContains(t, string(s.pending), "stale")
	s.free()
}

// c.3 66: in order with what was written before.
func TestFilesAreSentInOrder(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 10000)
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	for _, declared := range []bool{false, true} {
		for _, limit := range []int64{0, 100000} {
			for _, sendOK := range []bool{false, true} {
				s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
					file, err := os.Open(name)
					require.NoError(t, err)
					defer file.Close()
					var source io.Reader = file
					size := int64(len(content))
					if limit > 0 {
						source, size = io.LimitReader(file, limit), limit
					}
					if declared {
						w.Header().Set("Content-Length", fmt.Sprint(size+11))
					}
					_, _ = io.WriteString(w, "before")
					n, err := w.(io.ReaderFrom).ReadFrom(source)
					require.NoError(t, err)
					require.Equal(t, size, n)
					_, _ = io.WriteString(w, "after")
				})
				s.setup = func(l *streamLink) { l.sendOK = sendOK }
				want := "before" + string(content) + "after"
				if limit > 0 {
					want = "before" + string(content[:limit]) + "after"
				}
				answer := readAnswers(t, s.exchange(get("/")), "GET")[0]
				require.Equal(t, want, answer.text)
				require.Equal(t, declared && sendOK, s.link().sentFiles > 0)
			}
		}
	}
}

func TestTheTypeOfAFileIsGuessed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, append([]byte("<html>"), make([]byte, 100000)...), 0o600))
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		file, err := os.Open(name)
		require.NoError(t, err)
		defer file.Close()
		w.Header().Set("Content-Length", "100006")
		_, err = io.Copy(w, file)
		require.NoError(t, err)
	})
	answer := readAnswers(t, s.exchange(get("/")), "GET")[0]
	require.Equal(t, "text/html; charset=utf-8", answer.Header.Get("Content-Type"))
	require.Len(t, answer.text, 100006)
	require.NotZero(t, s.link().sentFiles)
}

// c.3 74
func TestAfterAWriteErrorNothingMoreIsServed(t *testing.T) {
	served := 0
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		served++
		_, err := w.Write(sized(100 << 10))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = io.WriteString(w, "x")
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, http.NewResponseController(w).Flush(), net.ErrClosed)
	})
	_, server := tcpPair(t)
	l := &streamLink{conn: server, writeErr: errPeerGone, released: make(chan uint32, 1)}
	h, _ := makeHanded(t, l, get("/")+get("/"))
	s.engine.start(h)
	require.EqualValues(t, abi.ReleaseReset, <-l.released)
	require.Equal(t, 1, served)
}

// What a handler has written goes out although it goes on without Flush.
func TestPartsOfAnAnswerDoNotWaitForTheRest(t *testing.T) {
	release := make(chan struct{})
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(sized(4096))
		<-release
	})
	conn := s.dial()
	_, err := io.WriteString(conn, get("/"))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	_, err = io.ReadFull(response.Body, make([]byte, 2048))
	require.NoError(t, err)
	close(release)
}

func TestDeadlinesOfAHandlerEndWithIt(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			require.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)))
		}
		_, _ = io.WriteString(w, "x")
	})
	require.Len(t, readAnswers(t, s.exchange(get("/first")+get("/second")), "GET", "GET"), 2)
	require.GreaterOrEqual(t, s.link().writes, 2, "the first went out under its own deadline")

	s = newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		controller := http.NewResponseController(w)
		require.NoError(t, controller.SetWriteDeadline(longAgo))
		_, _ = io.WriteString(w, "x")
		require.ErrorIs(t, controller.Flush(), os.ErrDeadlineExceeded)
	})
	conn := s.dial()
	_, err := io.WriteString(conn, get("/"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)

	s = newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		for { // WriteTimeout ends this
			if _, err := w.Write(sized(64 << 10)); err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				return
			}
		}
	})
	s.engine.writeTimeout = 20 * time.Millisecond
	conn = s.dial()
	_, err = io.WriteString(conn, get("/"))
	require.NoError(t, err)
	s.waitForRelease(1)
}

// waitForRelease waits until that many links were given back, and returns how.
func (s *handlerServer) waitForRelease(count int) (how []uint32) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		how = append([]uint32(nil), s.releases...)
		return len(how) >= count
	}, waitMax, pollPeriod)
	return how
}

// c.3 108: interim answers, trailers, streaming and aborts of a proxy.
func TestReverseProxy(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-T")
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		w.Header().Set("X-T", "end")
		if r.URL.Path == "/abort" {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer backend.Close()
	s := newHandlerServer(t, (&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", backend.Listener.Addr().String()
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}).ServeHTTP)
	url := "http://" + s.addr().String()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Post(url, "text/plain", bytes.NewReader(sized(50000)))
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, sized(50000), body)
	require.Equal(t, "end", response.Trailer.Get("X-T"))
	response, err = client.Post(url+"/abort", "text/plain", bytes.NewReader(sized(50000)))
	if err == nil {
		_, err = io.ReadAll(response.Body)
	}
	require.Error(t, err)
}

// What a socket has no room for is waited for, but not behind the last byte.
func TestACopyWaitsForRoomOnlyWhileThereIsMore(t *testing.T) {
	for size, waits := range map[int]int{copySize: 0, copySize + probeSize - 1: 0, copySize + probeSize + 1: 1} {
		for _, roomAfter := range []int{math.MaxInt, 0} {
			var l *streamLink
			s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
				n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(sized(size))})
				require.NoError(t, err)
				require.EqualValues(t, size, n)
			})
			s.setup = func(link *streamLink) { l, link.noRoom, link.roomAfter = link, true, roomAfter }
			_, reader := s.send(get("/"))
			require.Equal(t, string(sized(size)), s.answer(reader).text)
			l.mu.Lock()
			require.Equal(t, waits, l.waits, size)
			l.mu.Unlock()
		}
	}
}

// What a socket has room for is measured by what was sent, not by what waits to be sent.
func TestACopyCollectsNoMoreThanThereIsRoomFor(t *testing.T) {
	const size, narrow = 1 << 20, copySize + 8<<10 // pieces that are small enough to wait for more
	var l *streamLink
	held := 0
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) {
		l.onWait = func() { held = max(held, cap(w.(*responseWriter).sender().pending)) }
		_, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(sized(size))})
		require.NoError(t, err)
	})
	s.setup = func(link *streamLink) { l, link.narrow, link.roomAfter = link, narrow, narrow }
	_, reader := s.send(get("/"))
	require.Equal(t, string(sized(size)), s.answer(reader).text)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.NotZero(t, l.waits)
	require.LessOrEqual(t, l.overrun, 2*collectSize+probeSize+1024, "what a piece of the body and its head may be more")
	require.LessOrEqual(t, held, 2*collectSize, "no buffer waits")
}

// As with net/http: who waits for the context need not wait for the client to go.
func TestTheContextEndsWhenTheAnswerCannotBeSent(t *testing.T) {
	for name, write := range map[string]func(w http.ResponseWriter) error{
		"Write": func(w http.ResponseWriter) error { _, err := w.Write(make([]byte, 1<<20)); return err },
		"Flush": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
	} {
		ended := make(chan error, 1)
		s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			require.NoError(t, child.Err(), name)
			require.ErrorIs(t, write(w), os.ErrDeadlineExceeded, name)
			<-child.Done()
			ended <- r.Context().Err()
		})
		s.setup = func(link *streamLink) { link.writeErr = os.ErrDeadlineExceeded }
		_, _ = s.send(get("/"))
		require.Equal(t, context.Canceled, <-ended, name)
	}
}

// What one of several answers announces is not what the next one has.
func TestTrailersAreOfOneAnswer(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			w.Header().Set("Trailer", "X-Sum")
		}
		_, _ = io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "1")
	})
	_, reader := s.send(get("/first") + get("/second"))
	require.Equal(t, http.Header{"X-Sum": {"1"}}, s.answer(reader).Trailer)
	require.Empty(t, s.answer(reader).Trailer)
}

// Heads that are equal share their text, and nothing else.
func TestEqualRequestsAreRequestsOfTheirOwn(t *testing.T) {
	var kept []*http.Request
	var bodies []string
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		kept, bodies = append(kept, r), append(bodies, string(body))
		r.Header.Set("X-Seen", fmt.Sprint(len(kept)))
		r.URL.Path += fmt.Sprint(len(kept))
	})
	_, reader := s.send(postSized(1) + "a" + postSized(1) + "b" + postSized(1) + "c")
	for range 3 {
		s.answer(reader)
	}
	require.Equal(t, []string{"a", "b", "c"}, bodies)
	for i, r := range kept {
		require.Equal(t, fmt.Sprint(i+1), r.Header.Get("X-Seen"))
		require.Equal(t, fmt.Sprint("/", i+1), r.URL.Path)
		require.Equal(t, "/", r.RequestURI)
	}
}
