//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// trailed is a request with announced trailers, one that does not come, and others.
const trailed = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, X-None\r\n\r\n" +
	"4\r\nfour\r\n0\r\nX-Sum:  1 \r\nx-sum: 2\r\nX-Other:\r\n\r\n"

// sayTrailers answers with the body, its trailers, and those that the copy of the
// request has which a wrapping handler would have made.
func sayTrailers(w http.ResponseWriter, r *http.Request) {
	copied := r.WithContext(r.Context())
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s|%v|%v|%v", body, err, r.Trailer, copied.Trailer)
}

const trailedAnswer = "four|<nil>|map[X-None:[] X-Other:[] X-Sum:[1 2]]|map[X-None:[] X-Other:[] X-Sum:[1 2]]"

// c.1 16
func TestTrailersAreFilledAtTheEndOfTheBody(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		entered := make(chan string, 3)
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			entered <- fmt.Sprint(r.Trailer)
			sayTrailers(w, r)
		})
		p := dial(t, address)
		head := strings.Index(trailed, "\r\n\r\n") + 4
		for cut := range len(trailed) {
			p.send(trailed[:cut])
			if cut < head {
				p.send(trailed[cut:])
			}
			require.Equal(t, "map[X-None:[] X-Sum:[]]", soon(t, entered))
			if cut >= head {
				p.send(trailed[cut:])
			}
			require.Equal(t, trailedAnswer, p.answer().body, "cut at %d", cut)
		}
		p.send(trailed + trailed + "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Equal(t, trailedAnswer, p.answer().body)
		require.Equal(t, trailedAnswer, p.answer().body)
		require.Equal(t, "|<nil>|map[]|map[]", p.answer().body)
	})
}

func TestTrailersAreThereForWhatFastPasses(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		for _, bufferSize := range []int{0, 3, 4, 1000} {
			address := e.serving(t, &kourier.Server{
				Config:  kourier.Config{BodyBuffer: bufferSize},
				Fast:    func(_ *kourier.Request, res *kourier.Response) { res.Pass() },
				Handler: http.HandlerFunc(sayTrailers),
			})
			p := dial(t, address)
			for cut := range len(trailed) {
				require.Equal(t, trailedAnswer, p.send(trailed[:cut]).ask(trailed[cut:]).body, "cut at %d", cut)
			}
		}
	})
}

// A section that is malformed is an error for who reads the body, or a refusal.
func TestABrokenTrailerSectionEndsTheConnection(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) {
		entered := make(chan struct{}, 1)
		errs := make(chan error, 1)
		address := e.handle(t, func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			_, err := io.ReadAll(r.Body)
			errs <- err
			require.Nil(t, r.Trailer)
		})
		for code, section := range map[int]string{
			400: "X-Sum: 1\r\nContent-Length: 5\r\n\r\n",
			431: "X-Sum: " + strings.Repeat("1", 8192) + "\r\n\r\n",
		} {
			whole := strings.TrimSuffix(postChunked("/", "body"), "\r\n") + section + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
			a := dial(t, address).ask(whole)
			require.Equal(t, code, a.StatusCode)
			require.True(t, a.Close)

			head := strings.Index(whole, "\r\n\r\n") + 4
			p := dial(t, address).send(whole[:head])
			soon(t, entered)
			p.send(whole[head:])
			require.ErrorContains(t, soon(t, errs), fmt.Sprint(code))
			a = p.answer()
			require.Equal(t, http.StatusOK, a.StatusCode)
			require.True(t, a.Close)
			p.mustEnd()
		}
	})
}
