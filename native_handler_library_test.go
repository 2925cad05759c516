//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/http/pprof"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// The handlers of the standard library, and its client's tools, find what they look for.

// get returns a request with fields.
func get(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\n" + strings.Join(append(fields, "Host: a"), "\r\n") + "\r\n\r\n"
}

// client returns one for a server that e serves, and its base URL.
func (e engine) client(t *testing.T, address string) (*http.Client, string) {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, e.network, address)
	}
	transport := &http.Transport{DialContext: dial}
	scheme := "http"
	if e.tls != 0 {
		_, pool := certificate(t)
		transport.TLSClientConfig = e.tlsConfig()
		transport.TLSClientConfig.RootCAs = pool
		scheme = "https"
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, scheme + "://example.com"
}

func TestWithoutAHandlerServesWhatIsRegistered(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		p := e.dial(t, e.serving(t, &kourier.Server{}))
		require.True(t, json.Valid([]byte(p.ask(get("/debug/vars")).body)), "package expvar has registered it")
		require.Equal(t, 404, p.ask(get("/not/registered")).StatusCode)
	})
}

func TestServeMuxRoutes(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		mux := http.NewServeMux()
		say := func(text string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, text, " ", r.Pattern, " ", r.PathValue("x"), " ", r.PathValue("rest"))
			}
		}
		mux.Handle("GET /get", say("get"))
		mux.Handle("DELETE /get", say("delete"))
		mux.Handle("/tree/", say("tree"))
		mux.Handle("/exact/{$}", say("exact"))
		mux.Handle("/item/{x}/{rest...}", say("item"))
		mux.Handle("a.example/host", say("of a"))
		mux.Handle("/host", say("of all"))
		p := e.dial(t, e.serving(t, &kourier.Server{Handler: mux}))
		for _, c := range []struct {
			text     string
			code     int
			body     string
			location string
			allow    string
		}{
			{text: get("/get"), code: 200, body: "get GET /get  "},
			{text: "HEAD /get HTTP/1.1\r\nHost: a\r\n\r\n", code: 200},
			{text: post("/get", ""), code: 405, body: "Method Not Allowed\n", allow: "DELETE, GET, HEAD"},
			{text: get("/tree?a=b&c"), code: 307, body: "<a href=\"/tree/?a=b&amp;c\">Temporary Redirect</a>.\n\n", location: "/tree/?a=b&c"},
			{text: get("/tree/any/where"), code: 200, body: "tree /tree/  "},
			{text: get("/tree/../get?x"), code: 307, body: "<a href=\"/get?x\">Temporary Redirect</a>.\n\n", location: "/get?x"},
			{text: get("/exact/"), code: 200, body: "exact /exact/{$}  "},
			{text: get("/exact/more"), code: 404, body: "404 page not found\n"},
			{text: get("/item/a%2Fb/c/d%20e"), code: 200, body: "item /item/{x}/{rest...} a/b c/d e"},
			{text: strings.Replace(get("/host"), "Host: a", "Host: a.example:80", 1), code: 200, body: "of a a.example/host  "},
			{text: get("/host"), code: 200, body: "of all /host  "},
			{text: get("http://a.example/host"), code: 200, body: "of a a.example/host  "},
		} {
			a := p.ask(c.text)
			require.Equal(t, c.code, a.StatusCode, c.text)
			require.Equal(t, c.body, a.body, c.text)
			require.Equal(t, c.location, a.Header.Get("Location"), c.text)
			require.Equal(t, c.allow, a.Header.Get("Allow"), c.text)
		}
	})
}

func TestTimeoutHandlerAnswersInTimeOrForTheHandler(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		book := &logBook{}
		released, late := make(chan struct{}), make(chan error, 1)
		quick := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, pusher := w.(http.Pusher)
			if r.URL.Path == "/panic" {
				panic("in the handler")
			}
			w.Header().Set("X-Pusher", fmt.Sprint(pusher))
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "in time")
		}), patience, "late")
		slow := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			<-released
			_, err := io.WriteString(w, "too late")
			late <- err
		}), time.Millisecond, "<b>late</b>")
		mux := http.NewServeMux()
		mux.Handle("/", quick)
		mux.Handle("/slow", slow)
		address := e.serving(t, &kourier.Server{Handler: mux, ErrorLog: log.New(book, "", 0)})
		p := e.dial(t, address)
		a := p.ask(get("/quick"))
		require.Equal(t, http.StatusCreated, a.StatusCode)
		require.Equal(t, "in time", a.body)
		require.Equal(t, "true", a.Header.Get("X-Pusher"), "the writer is TimeoutHandler's own")
		a = p.ask(get("/slow"))
		close(released)
		require.ErrorIs(t, soon(t, late), http.ErrHandlerTimeout)
		require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		require.Equal(t, "<b>late</b>", a.body)
		require.Equal(t, "in time", p.ask(get("/quick")).body, "nothing came behind the answer")
		e.dial(t, address).send(get("/panic")).mustBreak()
		eventually(t, func() bool { return strings.Contains(book.String(), "in the handler\ngoroutine ") }, "it is logged")
	})
}

func TestSmallHandlersOfNetHTTP(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		query := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.FormValue("a"), r.FormValue("b")) })
		mux := http.NewServeMux()
		mux.Handle("/strip/", http.StripPrefix("/strip", http.HandlerFunc(sayPath)))
		mux.Handle("/redirect/", http.RedirectHandler("../there?a=b", http.StatusSeeOther))
		mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			http.Error(w, "no <tea>", http.StatusTeapot)
		})
		mux.Handle("/semicolons", http.AllowQuerySemicolons(query))
		mux.Handle("/query", query)
		protected := http.NewCrossOriginProtection()
		require.NoError(t, protected.AddTrustedOrigin("https://friend.example"))
		mux.Handle("/protected", protected.Handler(http.HandlerFunc(sayPath)))
		p := e.dial(t, e.serving(t, &kourier.Server{Handler: mux}))
		for _, c := range []struct {
			text  string
			code  int
			body  string
			field string
		}{
			{get("/strip/a/b"), 200, "/a/b", "Content-Length: 4"},
			{get("/redirect/x"), 303, "<a href=\"/there?a=b\">See Other</a>.\n\n", "Location: /there?a=b"},
			{"HEAD /redirect/x HTTP/1.1\r\nHost: a\r\n\r\n", 303, "", "Location: /there?a=b"},
			{post("/redirect/x", ""), 303, "", "Location: /there?a=b"},
			{get("/error"), 418, "no <tea>\n", "X-Content-Type-Options: nosniff"},
			{get("/error"), 418, "no <tea>\n", "Content-Length: 9"},
			{get("/semicolons?a=1;b=2"), 200, "12", "Content-Length: 2"},
			{get("/query?a=1;b=2"), 200, "", "Content-Length: 0"},
			{post("/protected", ""), 200, "/protected", "Content-Length: 10"},
			{post("/protected", "", "Sec-Fetch-Site: cross-site"), 403, "cross-origin request detected from Sec-Fetch-Site header\n", ""},
			{post("/protected", "", "Origin: https://foe.example"), 403, "cross-origin request detected, and/or browser is out of date: Sec-Fetch-Site is missing, and Origin does not match Host\n", ""},
			{post("/protected", "", "Origin: https://friend.example"), 200, "/protected", ""},
			{post("/protected", "", "Origin: https://a"), 200, "/protected", ""},
			{get("/protected", "Sec-Fetch-Site: cross-site"), 200, "/protected", ""},
		} {
			a := p.ask(c.text)
			require.Equal(t, c.code, a.StatusCode, c.text)
			require.Equal(t, c.body, a.body, c.text)
			name, value, _ := strings.Cut(c.field, ": ")
			require.Equal(t, value, a.Header.Get(name), c.text)
		}
	})
}

// ----------------------------------------------------------------------- proxies

// A proxy streams in both directions, upgrades, and breaks off where its backend does.
func TestReverseProxyServesWhatItsBackendDoes(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		more := make(chan struct{})
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/interim":
				w.Header().Set("Link", "</a>")
				w.WriteHeader(http.StatusEarlyHints)
				_, _ = io.WriteString(w, "final")
			case "/trailers":
				w.Header().Set("Trailer", "X-Announced")
				body, _ := io.ReadAll(r.Body) // before the first write, as net/http has it
				_, _ = w.Write(body)
				w.Header().Set("X-Announced", "1")
				w.Header().Set(http.TrailerPrefix+"X-Late", "2")
			case "/stream":
				_, _ = io.WriteString(w, "first")
				w.(http.Flusher).Flush()
				<-more
				_, _ = io.WriteString(w, "last")
			case "/abort":
				_, _ = io.WriteString(w, "part")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case "/upgrade":
				upgrade(w, r)
			}
		}))
		defer backend.Close()
		target, err := url.Parse(backend.URL)
		require.NoError(t, err)
		proxy := &httputil.ReverseProxy{
			Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
			ErrorLog: log.New(io.Discard, "", 0), FlushInterval: -1,
		}
		address := e.serving(t, &kourier.Server{Handler: proxy})

		p := e.dial(t, address).send(get("/interim"))
		a := p.answer()
		require.Equal(t, http.StatusEarlyHints, a.StatusCode)
		require.Equal(t, "</a>", a.Header.Get("Link"))
		require.Equal(t, "final", p.answer().body)

		body := strings.Repeat("x", 100_000)
		a = p.ask(postChunked("/trailers", body))
		require.True(t, body == a.body, "%d bytes", len(a.body))
		require.Equal(t, http.Header{"X-Announced": {"1"}, "X-Late": {"2"}}, a.Trailer)

		p.send(get("/stream"))
		response, err := http.ReadResponse(p.reader, nil)
		require.NoError(t, err)
		first := make([]byte, 5)
		_, err = io.ReadFull(response.Body, first)
		require.NoError(t, err)
		require.Equal(t, "first", string(first), "before the backend goes on")
		close(more)
		last, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, "last", string(last))

		_, err = readAnswer(e.dial(t, address).send(get("/abort")).reader, "GET")
		require.Error(t, err, "what broke off must not look whole")

		p.send(strings.Replace(upgradeRequest, "/", "/upgrade", 1))
		response, err = http.ReadResponse(p.reader, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
		p.send("both ways").closeWrite()
		require.Equal(t, "both ways", p.rest())
	})
}

// ------------------------------------------------------------- tools of debugging

func TestDumpsOfARequestAndItsAnswer(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		dumps := make(chan string, 1)
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			dump, err := httputil.DumpRequest(r, true)
			dumps <- fmt.Sprint(string(dump), err)
			_, _ = io.Copy(w, r.Body)
		})
		response, err := http.ReadResponse(bufio.NewReader(e.dial(t, address).send(postChunked("/a?b", "four", "X-C: d"))), nil)
		require.NoError(t, err)
		want := "POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-C: d\r\n\r\n4\r\nfour\r\n0\r\n\r\n<nil>"
		require.Equal(t, want, soon(t, dumps))
		dump, err := httputil.DumpResponse(response, true)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(dump), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"), "%s", dump)
		require.True(t, strings.HasSuffix(string(dump), "\r\n\r\nfour"), "%s", dump)
	})
}

func TestATraceOfAClientSeesEveryStep(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		})
		client, base := e.client(t, address)
		var steps strings.Builder
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn:              func(info httptrace.GotConnInfo) { fmt.Fprint(&steps, "reused:", info.Reused, " ") },
			Got1xxResponse:       func(code int, _ textproto.MIMEHeader) error { fmt.Fprint(&steps, code, " "); return nil },
			Got100Continue:       func() { fmt.Fprint(&steps, "continue ") },
			GotFirstResponseByte: func() { fmt.Fprint(&steps, "first ") },
		})
		client.Transport.(*http.Transport).ExpectContinueTimeout = patience
		for _, want := range []string{"reused:false first 103 continue 100 ", "reused:true first 103 continue 100 "} {
			steps.Reset()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/", strings.NewReader("four"))
			require.NoError(t, err)
			request.Header.Set("Expect", "100-continue")
			response, err := client.Do(request)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Equal(t, "four", string(body))
			require.Equal(t, want, steps.String())
		}
	})
}

func TestProfilesAndVariablesAreServed(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		mux := http.NewServeMux()
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.Handle("/debug/vars", expvar.Handler())
		address := e.serving(t, &kourier.Server{Handler: mux, WriteTimeout: 900 * time.Millisecond})
		client, base := e.client(t, address)
		ask := func(path string) (*http.Response, []byte) {
			response, err := client.Get(base + "/debug/" + path)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			return response, body
		}
		_, body := ask("pprof/")
		require.Contains(t, string(body), "full goroutine stack dump")
		_, body = ask("pprof/goroutine?debug=2")
		require.Contains(t, string(body), "net/http/pprof.")
		_, body = ask("pprof/heap")
		require.True(t, bytes.HasPrefix(body, []byte{0x1f, 0x8b}), "it is compressed")
		_, body = ask("vars")
		require.True(t, json.Valid(body))

		// It takes longer than WriteTimeout, which pprof finds by http.ServerContextKey and moves.
		response, body := ask("pprof/goroutine?seconds=1")
		require.Equal(t, 200, response.StatusCode)
		require.True(t, bytes.HasPrefix(body, []byte{0x1f, 0x8b}))
	})
}
