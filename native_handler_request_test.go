//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// RFC 9112 §6.1: who takes it must not believe the length. The native engine refuses it.
func TestALengthBesideChunksIsNeverBelieved(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		bodies := make(chan string, 2)
		address := e.handle(t, func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies <- fmt.Sprintf("%s %q %d %q", r.URL.Path, body, r.ContentLength, r.Header["Content-Length"])
		})
		for _, order := range []string{
			"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
			"Transfer-Encoding: chunked\r\nContent-Length: 100\r\n",
			"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
		} {
			p := e.dial(t, address).send("POST /first HTTP/1.1\r\nHost: a\r\n" + order + "\r\n4\r\nfour\r\n0\r\n\r\n" + closeRequest)
			if e.native() {
				require.Equal(t, 400, p.answer().StatusCode)
				p.mustEnd()
				continue
			}
			require.Equal(t, 200, p.answer().StatusCode)
			require.Equal(t, 200, p.answer().StatusCode)
			require.Equal(t, `/first "four" -1 []`, soon(t, bodies))
			require.Equal(t, `/ "" 0 []`, soon(t, bodies))
		}
		require.Empty(t, bodies)
	})
}

func TestHandlersAreSparedTooManyFields(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		events := make(chan kourier.Event, 1)
		address := e.serving(t, &kourier.Server{
			Handler:             http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.Header["X"])) }),
			MaxHeaderValueCount: 10,
			OnEvent:             func(event kourier.Event) { events <- event },
		})
		counted := func(count int) string {
			return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", count-1) + "\r\n"
		}
		p := e.dial(t, address)
		require.Equal(t, "9", p.ask(counted(10)).body)
		a := p.ask(counted(11))
		require.Equal(t, 431, a.StatusCode)
		require.True(t, a.Close)
		p.mustEnd()
		require.Equal(t, kourier.ReasonTooManyFields, soon(t, events).Reason)
	})
}

// What a handler makes of Request.Body concerns nobody but the handler.
func TestAHandlerMayReplaceTheBody(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		for name, replace := range map[string]func(r *http.Request){
			"nil":     func(r *http.Request) { r.Body = nil },
			"NoBody":  func(r *http.Request) { r.Body = http.NoBody },
			"wrapped": func(r *http.Request) { r.Body = struct{ io.ReadCloser }{r.Body} },
			"a part":  func(r *http.Request) { r.Body = io.NopCloser(io.LimitReader(r.Body, 2)) },
		} {
			address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
				replace(r)
				if r.Body != nil {
					body, err := io.ReadAll(r.Body)
					fmt.Fprint(w, string(body), err)
				}
			})
			want := map[string]string{"NoBody": "<nil>", "wrapped": "four<nil>", "a part": "fo<nil>"}[name]
			p := e.dial(t, address)
			for _, text := range []string{post("/", "four"), postChunked("/", "four"), post("/", "four")} {
				require.Equal(t, want, p.ask(text).body, name)
			}
		}
	})
}

// The type that MaxBytesReader looks for to close the connection is net/http's own. Here it closes when more is left than
// is drained.
func TestMaxBytesReaderBoundsABody(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			_, again := r.Body.Read(make([]byte, 1))
			var tooLarge *http.MaxBytesError
			switch {
			case err == nil:
				_, _ = io.WriteString(w, "whole")
			case errors.As(err, &tooLarge) && errors.Is(again, err):
				http.Error(w, fmt.Sprint(tooLarge.Limit), http.StatusRequestEntityTooLarge)
			}
		})
		address := e.serving(t, &kourier.Server{Handler: http.MaxBytesHandler(handler, 1000)})
		for _, request := range []func(string, string, ...string) string{post, postChunked} {
			p := e.dial(t, address)
			require.Equal(t, "whole", p.ask(request("/", strings.Repeat("x", 1000))).body)
			a := p.ask(request("/", strings.Repeat("x", 1001)))
			require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
			require.Equal(t, "1000\n", a.body)
			require.Equal(t, !e.native(), a.Close)
			if e.native() {
				require.Equal(t, "whole", p.ask(request("/", "x")).body)
			}
			p = e.dial(t, address)
			written := async(func() error {
				_, err := io.WriteString(p.Conn, request("/", strings.Repeat("x", 1_000_000))+helloRequest)
				return err
			})
			a = p.answer()
			require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
			require.True(t, a.Close)
			_, _ = io.Copy(io.Discard, p)
			require.NoError(t, p.Close())
			<-written
		}
	})
}

func TestOptionsOfTheServerAreAnsweredForIt(t *testing.T) {
	t.Parallel()
	const head = "OPTIONS * HTTP/1.1\r\nHost: a\r\n"
	onTransports(t, func(t *testing.T, e engine) {
		for _, mine := range []bool{false, true} {
			address := e.serving(t, &kourier.Server{
				DisableGeneralOptionsHandler: mine,
				Handler:                      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }),
			})
			p := e.dial(t, address)
			for _, text := range []string{head + "\r\n", head + "Content-Length: 4096\r\n\r\n" + strings.Repeat("x", 4096)} {
				a := p.ask(text)
				require.Equal(t, 200, a.StatusCode)
				require.Equal(t, mine, a.body == "*")
				require.EqualValues(t, len(a.body), a.ContentLength)
				require.False(t, a.Close)
			}
			if mine {
				continue
			}
			a := p.send(head + "Content-Length: 4097\r\n\r\n" + strings.Repeat("x", 4097)).answer()
			require.Equal(t, 200, a.StatusCode)
			require.True(t, a.Close)
			p.mustEnd()
		}
	})
}
