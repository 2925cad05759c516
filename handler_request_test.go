package kourier

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// c.1: what a handler sees is what net/http's own parser makes of the same bytes.
func TestRequestsAreThoseOfNetHTTP(t *testing.T) {
	for name, text := range map[string]string{
		"plain":             get("/"),
		"query":             get("/a/b.c?x=1&y=2"),
		"empty query":       get("/a?"),
		"two marks":         get("/a??"),
		"mark at the end":   get("/a?b?"),
		"escapes":           get("/a%20b%2Fc?d=%41"),
		"odd path":          get("/a'b(c)*!"),
		"semicolon":         get("/a;b=c?d;e"),
		"double slash":      get("//host/x"),
		"colon":             get("/a:b@c"),
		"absolute":          request("GET", "http://other.example:8080/p?q", "HTTP/1.1"),
		"absolute, bare":    request("GET", "http://other.example", "HTTP/1.1"),
		"star":              request("OPTIONS", "*", "HTTP/1.1"),
		"connect":           request("CONNECT", "example.org:443", "HTTP/1.1"),
		"method":            request("get", "/", "HTTP/1.1"),
		"other method":      request("PROPFIND", "/", "HTTP/1.1"),
		"1.0":               request("GET", "/", "HTTP/1.0"),
		"1.0 keep-alive":    request("GET", "/", "HTTP/1.0", "Connection: keep-alive"),
		"1.0 host":          request("GET", "/", "HTTP/1.0", "Host: example.org"),
		"close":             request("GET", "/", "HTTP/1.1", "Connection: close"),
		"fields":            request("GET", "/", "HTTP/1.1", "accept: a", "X-ONE:  b  ", "x-one: c", "Empty:", "COOKIE: d=e"),
		"pragma":            request("GET", "/", "HTTP/1.1", "Pragma: no-cache"),
		"pragma and cache":  request("GET", "/", "HTTP/1.1", "Pragma: no-cache", "Cache-Control: max-age=0"),
		"length":            request("POST", "/", "HTTP/1.1", "Content-Length: 4") + "body",
		"length twice":      request("POST", "/", "HTTP/1.1", "Content-Length: 4", "Content-Length: 4") + "body",
		"no length":         request("POST", "/", "HTTP/1.1", "Content-Length: 0"),
		"chunked":           request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nbody\r\n0\r\n\r\n",
		"chunked and empty": request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		"trailer announced": request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: x-a, X-B", "Trailer: x-c") + "0\r\n\r\n",
		"trailer sent": request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-A, x-b,, X-C") +
			"4\r\nbody\r\n0\r\nx-b:1\r\nX-C: \t2, 3 \t\r\nX-B: 4\r\nUNASKED: \xe9\r\nX-C:\r\n\r\n",
		"trailer unasked":   request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nbody\r\n0\r\nx-a: 1\r\n\r\n",
		"trailer, no body":  request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-A") + "0\r\nX-A: 1\r\n\r\n",
		"trailer unchunked": request("GET", "/", "HTTP/1.1", "Trailer: X-A"),
		"expect":            request("POST", "/", "HTTP/1.1", "Content-Length: 4", "Expect: 100-continue") + "body",
	} {
		t.Run(name, func(t *testing.T) {
			want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
			require.NoError(t, err)
			wantBody, err := io.ReadAll(want.Body)
			require.NoError(t, err)
			for _, neighbours := range []string{"", get("/next")} {
				var got *http.Request
				var body []byte
				s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
					if got == nil {
						got = r
						body, err = io.ReadAll(r.Body)
					}
				})
				s.engine.noGeneralOptions = true
				s.exchange(text + neighbours)
				require.NotNil(t, got)
				require.NoError(t, err)
				require.Equal(t, string(wantBody), string(body))
				require.Equal(t, want.Body == http.NoBody, got.Body == http.NoBody)
				require.Equal(t, want.URL, got.URL)
				require.Equal(t, want.Header, got.Header)
				require.Equal(t, want.Trailer, got.Trailer)
				require.True(t, strings.HasPrefix(got.RemoteAddr, "127.0.0.1:"))
				require.Equal(t, bare(want), bare(got))
			}
		})
	}
}

// bare returns a copy of r without what was compared and what a context adds.
func bare(r *http.Request) *http.Request {
	r = r.WithContext(context.Background())
	r.Body, r.URL, r.Header, r.Trailer, r.RemoteAddr = nil, nil, nil, nil, ""
	return r
}

func TestPathsAreParsedAsByNetURL(t *testing.T) {
	for c := 0x21; c < 0x7f; c++ {
		if c == '%' || c == '#' || c == '?' {
			continue
		}
		target := "/a" + string(rune(c)) + "/b"
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(get(target))))
		require.NoError(t, err)
		h, _ := makeHanded(t, &memoryLink{}, get(target))
		e := benchmarkEngine(nil)
		s := newSender(h.link)
		require.Equal(t, want.URL, e.newExchange(s, h, 0).request.URL, target)
		s.free()
	}
}

// c.1 23: what is kept stays as it is, whatever comes after it.
func TestRequestsMayBeKept(t *testing.T) {
	var kept []*http.Request
	var bodies []io.ReadCloser
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		kept = append(kept, r)
		bodies = append(bodies, r.Body)
		_, _ = w.Write(sized(3000))
	})
	text := ""
	for i := range 20 {
		text += request("POST", numbered(i), "HTTP/1.1", "X-Number: "+numbered(i), "Content-Length: 3") + "abc"
	}
	s.exchange(text)
	s.exchange(strings.Repeat(get("/overwrite/what/was/there"), 50))
	for i := range 20 {
		require.Equal(t, numbered(i), kept[i].URL.Path)
		require.Equal(t, []string{numbered(i)}, kept[i].Header["X-Number"])
		_, err := bodies[i].Read(make([]byte, 1))
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	}
}

func TestContextValues(t *testing.T) {
	type key struct{}
	var local, server, own any
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		local = r.Context().Value(http.LocalAddrContextKey)
		server = r.Context().Value(http.ServerContextKey)
		own = r.Context().Value(key{})
	})
	s.base = context.WithValue(context.Background(), key{}, "base")
	s.exchange(get("/"))
	require.Equal(t, s.listener.Addr().String(), local.(net.Addr).String())
	require.Same(t, s.engine.server, server.(*http.Server))
	require.Equal(t, "base", own)
}

// c.4 81, c.6 114: whatever of a request is unread.
func TestContextsEndWhenThePeerGoes(t *testing.T) {
	for name, text := range map[string]string{
		"plain":       get("/"),
		"unread body": request("POST", "/", "HTTP/1.1", "Content-Length: 10") + "begun",
		"pipelined":   get("/") + get("/"),
	} {
		t.Run(name, func(t *testing.T) {
			contexts := make(chan context.Context, 2)
			child := make(chan error, 2)
			var s *handlerServer
			s = newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				notified := w.(http.CloseNotifier).CloseNotify() //nolint:staticcheck // deprecated, and still used
				s.link().gone()
				<-ctx.Done()
				<-notified
				child <- ctx.Err()
				contexts <- r.Context()
			})
			s.exchange(text)
			require.ErrorIs(t, <-child, context.Canceled)
			require.ErrorIs(t, (<-contexts).Err(), context.Canceled)
		})
	}
}

func TestContextsEndWithTheHandlerAndWithTheirParent(t *testing.T) {
	base, cancel := context.WithCancelCause(context.Background())
	contexts := make(chan context.Context, 2)
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.Context().Err())
		if r.URL.Path == "/parent" {
			done := r.Context().Done()
			cancel(io.ErrNoProgress)
			<-done
			require.ErrorIs(t, r.Context().Err(), context.Canceled)
			require.ErrorIs(t, context.Cause(r.Context()), io.ErrNoProgress)
		}
		contexts <- r.Context()
	})
	s.base = base
	s.exchange(get("/"))
	kept := <-contexts
	<-kept.Done()
	require.ErrorIs(t, kept.Err(), context.Canceled)
	called := make(chan struct{})
	require.False(t, kept.(*requestContext).AfterFunc(func() { close(called) })())
	<-called
	require.Nil(t, kept.Value(http.LocalAddrContextKey))
	_, has := kept.Deadline()
	require.False(t, has)

	s.exchange(get("/parent"))
	<-(<-contexts).Done()
}

func TestChildContextsNeedNoGoroutine(t *testing.T) {
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		child, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		require.Len(t, r.Context().(*requestContext).asked.funcs, 1)
		cancel()
		<-child.Done()
		require.Empty(t, r.Context().(*requestContext).asked.funcs)
		require.True(t, context.AfterFunc(r.Context(), func() {})())
	})
	s.exchange(get("/"))
}
