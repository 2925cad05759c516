//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bytes"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// Like those in server_leak_test.go, the test in this file looks at the whole process and is not parallel.

// manyDepth is how many requests askMany sends in one write.
const manyDepth = 256

// askMany sends one and the same request count times, pipelined, and requires that all answers are equal but for Date.
// It allocates next to nothing.
func askMany(t *testing.T, conn net.Conn, request string, count int) {
	t.Helper()
	require.Zero(t, count%manyDepth)
	first := make([]byte, 1000)
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	n, err := conn.Read(first)
	require.NoError(t, err)
	want := first[:n]
	date := bytes.Index(want, []byte("Date: "))
	require.Positive(t, date)
	dateEnd := date + len("Date: "+http.TimeFormat)

	block := []byte(strings.Repeat(request, manyDepth))
	written := async(func() error {
		for range count / manyDepth {
			if _, err := conn.Write(block); err != nil {
				return err
			}
		}
		return nil
	})
	at, whole := 0, 0
	for buffer := make([]byte, 64<<10); whole < count; {
		n, err := conn.Read(buffer)
		require.NoError(t, err)
		for _, b := range buffer[:n] {
			if b != want[at] && (at < date || at >= dateEnd) {
				t.Fatalf("answer %d is not that to the first one: %q", whole, want)
			}
			if at++; at == len(want) {
				at = 0
				whole++
			}
		}
	}
	require.NoError(t, soon(t, written))
	require.Zero(t, at, "nothing has come behind the last one")
}

func TestAMillionRequestsThroughOneWorker(t *testing.T) {
	if testing.Short() || instrumented() {
		t.Skip("takes seconds, and counts what an instrumented build allocates too")
	}
	const warm, count = 20 * manyDepth, 1_000_000 / manyDepth * manyDepth
	body := []byte("Hello World!")
	fast := &kourier.Server{Fast: func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", body) }}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	browser := get("/index.html?a=b", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: text/html,application/xhtml+xml",
		"Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br", "Cookie: session=0123456789abcdef")
	for _, c := range []struct {
		name    string
		srv     *kourier.Server
		request string
		most    float64 // allocations of a request
	}{
		{"Fast", fast, helloRequest, 0.001},
		{"Handler", &kourier.Server{Handler: handler}, helloRequest, 4},
		{"Handler, many fields", &kourier.Server{Handler: handler}, browser, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.srv.Config.Workers = 1
			conn, err := net.Dial("tcp", serving(t, c.srv))
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(5*patience)))
			askMany(t, conn, c.request, warm)
			asked := warm + 1 // askMany asks once more, for the first answer
			allocations := math.Inf(1)
			for try := 0; try < 3 && allocations > c.most; try++ { // timers of servers before this one allocate too, for two seconds
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				askMany(t, conn, c.request, count)
				runtime.ReadMemStats(&after)
				asked += count + 1
				allocations = float64(after.Mallocs-before.Mallocs) / count
				t.Logf("%.4f allocations a request", allocations)
			}
			require.LessOrEqual(t, allocations, c.most)
			stats := c.srv.Stats()
			require.EqualValues(t, asked, stats.Requests)
			require.Equal(t, stats.Requests, stats.Responses2xx)
		})
	}
}

func TestWorkersGetAsManyConnections(t *testing.T) {
	for _, workers := range []int{2, 4, 8} {
		for _, reuse := range []bool{false, true} {
			srv := &kourier.Server{Handler: http.NotFoundHandler(), Config: kourier.Config{Workers: workers, ReusePort: reuse}}
			address := serving(t, srv)
			made := int64(0)
			for _, count := range []int64{64, 500} {
				for ; made < count; made++ {
					conn, err := net.Dial("tcp", address)
					require.NoError(t, err)
					defer conn.Close()
				}
				var least, most int64
				require.Eventually(t, func() bool { // some are on their way from one to another
					least, most = count, 0
					all := int64(0)
					for _, w := range srv.Stats().Workers {
						least, most, all = min(least, w.Conns), max(most, w.Conns), all+w.Conns
					}
					return all == count
				}, patience, time.Millisecond)
				require.LessOrEqualf(t, float64(most), 1.2*float64(least), "%d workers, %d connections", workers, count)
			}
		}
	}
}
