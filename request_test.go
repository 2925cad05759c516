package kourier

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seen has look at one request.
func seen(t *testing.T, text string, look func(req *Request)) {
	t.Helper()
	called := false
	core := newFakeCore(t)
	core.answer(func(req *Request, _ *Response) {
		called = true
		look(req)
	}, arrival{7, text})
	require.True(t, called)
	require.Empty(t, core.logged)
}

func TestRequestParts(t *testing.T) {
	cases := []struct {
		text, method, target, path, query, host string
	}{
		{get("/"), "GET", "/", "/", "", "example.org"},
		{get("/a%20b/?c=d?e"), "GET", "/a%20b/?c=d?e", "/a%20b/", "c=d?e", "example.org"},
		{get("/a?"), "GET", "/a?", "/a", "", "example.org"},
		{get("http://a.example:8080/b?c"), "GET", "http://a.example:8080/b?c", "/b", "c", "a.example:8080"},
		{request("OPTIONS", "http://a.example", "HTTP/1.1"), "OPTIONS", "http://a.example", "/", "", "a.example"},
		{request("OPTIONS", "*", "HTTP/1.1"), "OPTIONS", "*", "*", "", "example.org"},
		{request("CONNECT", "a.example:80", "HTTP/1.1"), "CONNECT", "a.example:80", "a.example:80", "", "a.example:80"},
		{request("BREW", "/pot", "HTTP/1.0"), "BREW", "/pot", "/pot", "", ""},
	}
	for _, c := range cases {
		seen(t, c.text, func(req *Request) {
			require.Equal(t, c.method, req.Method())
			require.Equal(t, c.target, string(req.Target()))
			require.Equal(t, c.path, string(req.Path()))
			require.Equal(t, c.query, string(req.Query()))
			require.Equal(t, c.host, string(req.Host()))
			require.Equal(t, "192.0.2.1:7", req.RemoteAddr().String())
		})
	}
}

func TestHeader(t *testing.T) {
	text := request("GET", "/", "HTTP/1.1", "X-A:  one ", "x-a: two", "X-Empty:", "X_A: three", "X[A: four")
	seen(t, text, func(req *Request) {
		require.Equal(t, "one", string(req.Header("X-A")))
		require.Equal(t, "one", string(req.Header("x-a")))
		require.Equal(t, "example.org", string(req.Header("HOST")))
		require.Equal(t, "three", string(req.Header("x_a")))
		require.Nil(t, req.Header("X{A"), "only letters have a case")
		require.Nil(t, req.Header("X-B"))
		require.Nil(t, req.Header(""))
		require.NotNil(t, req.Header("X-Empty"))
		require.Empty(t, req.Header("X-Empty"))

		var names []string
		for name, value := range req.Headers() {
			names = append(names, string(name)+"="+string(value))
		}
		require.Equal(t, []string{"Host=example.org", "X-A=one", "x-a=two", "X-Empty=", "X_A=three", "X[A=four"}, names)
		for name := range req.Headers() {
			require.Equal(t, "Host", string(name))
			break
		}
	})
}

func TestBody(t *testing.T) {
	seen(t, get("/"), func(req *Request) {
		body, complete := req.Body()
		require.Empty(t, body)
		require.True(t, complete)
		require.Zero(t, req.ContentLength())
	})
	seen(t, request("POST", "/", "HTTP/1.1", "Content-Length: 3")+"abc", func(req *Request) {
		body, complete := req.Body()
		require.Equal(t, "abc", string(body))
		require.True(t, complete)
		require.EqualValues(t, 3, req.ContentLength())
	})
	seen(t, request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked")+"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", func(req *Request) {
		body, _ := req.Body()
		require.Equal(t, "abcde", string(body))
		require.EqualValues(t, -1, req.ContentLength())
	})
}

// An append to a view must not write over what stands behind it.
func TestViewsAreCapped(t *testing.T) {
	seen(t, request("POST", "/path?query", "HTTP/1.1", "X-A: b", "Content-Length: 3")+"abc", func(req *Request) {
		body, _ := req.Body()
		for _, view := range [][]byte{req.Target(), req.Path(), req.Query(), req.Host(), req.Header("X-A"), body} {
			require.NotEmpty(t, view)
			require.Equal(t, len(view), cap(view))
		}
	})
}

func TestAnEmptyPathCannotBeSpoiled(t *testing.T) {
	seen(t, get("http://a"), func(req *Request) { req.Path()[0] = 'x' })
	seen(t, get("http://a"), func(req *Request) { require.Equal(t, "/", string(req.Path())) })
}

// Copy is what net/http's server reads from the same bytes.
func TestCopyIsWhatNetHTTPReads(t *testing.T) {
	texts := []string{
		get("/"),
		get("/a%20b/c?d=e%20f&g"),
		get("//a/b?c"),
		get("/a?"),
		get("http://a.example:8080/b?c"),
		get("http://a.example"),
		request("HEAD", "/", "HTTP/1.1", "x-lower: a", "X-LOWER: b", "Cookie: a=b"),
		request("OPTIONS", "*", "HTTP/1.1"),
		request("CONNECT", "a.example:80", "HTTP/1.1"),
		request("BREW", "/pot", "HTTP/1.1"),
		request("GET", "/", "HTTP/1.0"),
		request("GET", "/", "HTTP/1.0", "Connection: keep-alive", "Host: a"),
		request("GET", "/", "HTTP/1.1", "Connection: close"),
		request("POST", "/", "HTTP/1.1", "Content-Length: 3") + "abc",
		request("POST", "/", "HTTP/1.1", "Content-Length: 0"),
		request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n",
		request("POST", "/", "HTTP/1.1", "Transfer-Encoding: chunked") + "0\r\n\r\n",
	}
	for _, text := range texts {
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		require.NoError(t, err, text)
		wantBody, err := io.ReadAll(want.Body)
		require.NoError(t, err)

		var got *http.Request
		seen(t, text, func(req *Request) { got = req.Copy() })
		require.Equal(t, want.Body == http.NoBody, got.Body == http.NoBody, text)
		gotBody, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Equal(t, string(wantBody), string(gotBody))
		require.Equal(t, "192.0.2.1:7", got.RemoteAddr)
		require.NotNil(t, got.Context())

		shown := func(r *http.Request) http.Request {
			return http.Request{
				Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
				Header: r.Header, ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding,
				Close: r.Close, Host: r.Host, RequestURI: r.RequestURI,
			}
		}
		a, b := shown(want), shown(got)
		require.Equal(t, &a, &b, text)
	}
}

func TestCopyOwnsItsMemory(t *testing.T) {
	var kept *http.Request
	core := newFakeCore(t)
	core.answer(func(req *Request, _ *Response) { kept = req.Copy() },
		arrival{1, request("BREW", "/path?query", "HTTP/1.1", "X-A: b", "Content-Length: 4") + "body"})
	raw := &core.raws[0]
	head := raw.Bytes(0, uint32(len(request("BREW", "/path?query", "HTTP/1.1", "X-A: b", "Content-Length: 4"))))
	for _, view := range [][]byte{head, raw.BodyBytes()} {
		for i := range view {
			view[i] = '!'
		}
	}
	body, err := io.ReadAll(kept.Body)
	require.NoError(t, err)
	require.Equal(t, "body", string(body))
	require.Equal(t, "BREW", kept.Method)
	require.Equal(t, &url.URL{Path: "/path", RawQuery: "query"}, kept.URL)
	require.Equal(t, "b", kept.Header.Get("X-A"))
	require.Equal(t, "example.org", kept.Host)
}
