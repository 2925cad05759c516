//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// Like those in server_leak_test.go, most tests in this file look at the whole
// process and are not parallel.

func TestWritersToAReaderThatStopsHoldNothing(t *testing.T) {
	const writers = 20
	piece := make([]byte, 1<<20)
	var written, failed atomic.Int64
	srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 { // 1 GiB
			n, err := w.Write(piece)
			if err != nil {
				failed.Add(1)
				return
			}
			written.Add(int64(n))
		}
	})}
	e := engine{network: "tcp"}
	address := e.serving(t, srv)
	run := func(leave func(p *peer)) (held footprint, native int64) {
		failed.Store(0)
		var readers []*peer
		for range writers {
			readers = append(readers, dialNarrow(t, address).send(helloRequest))
		}
		eventually(t, func() bool { return strings.Count(serverStacks(), "waitWritable") == writers }, "all wait")
		before := written.Load()
		held, native = measure(t), srv.Stats().NativeBytes
		require.Equal(t, before, written.Load(), "nothing more is taken")
		for _, p := range readers {
			leave(p)
		}
		eventually(t, func() bool { return failed.Load() == writers && hasNone(srv.Stats()) }, "all are free")
		return held, native
	}
	run((*peer).vanish)
	before, native := measure(t), srv.Stats().NativeBytes
	held, heldNative := run((*peer).vanish)
	require.Less(t, held.heap, before.heap+8*mebibyte, "they hold no answers")
	require.Less(t, heldNative, native+spareBytes)
	run(func(p *peer) { _ = p.Close() })
	require.LessOrEqual(t, srv.Stats().NativeBytes, native+spareBytes)
	mustNotGrow(t, before)
}

// A copy to or from a client that has stopped holds no buffer.
func TestCopiesThatWaitHoldNoBuffer(t *testing.T) {
	mustHoldNoBuffer(t, "responseWriter).awaitRoom", helloRequest, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, endless{}, 1<<30)
	})
	mustHoldNoBuffer(t, "nativeLink).awaitBody", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nbody", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
}

// mustHoldNoBuffer has many clients ask and stop, until handler waits for each of them in waiting.
func mustHoldNoBuffer(t *testing.T, waiting, asked string, handler http.HandlerFunc) {
	const copies = 100
	srv := &kourier.Server{
		Config:       kourier.Config{HandlerPool: 1},
		Handler:      handler,
		WriteTimeout: time.Hour, // setting a deadline wakes who waits
	}
	address := engine{network: "tcp"}.serving(t, srv)
	run := func() (held footprint) {
		var clients []*peer
		for range copies {
			clients = append(clients, dialNarrow(t, address).send(asked))
		}
		eventually(t, func() bool { return strings.Count(serverStacks(), waiting+"(") == copies }, "all wait")
		held = measure(t)
		for _, p := range clients {
			p.vanish()
		}
		eventually(t, func() bool { return hasNone(srv.Stats()) }, "all are free")
		return held
	}
	run()
	before := measure(t)
	limit := int64(16 << 10) // a buffer is twice that
	if instrumented() {
		limit = 28 << 10 // and other things take more
	}
	require.Less(t, run().heap, before.heap+copies*limit, "less than a buffer each")
	mustNotGrow(t, before)
}

// endless is a source without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestPanicsOfHandlersLeaveNothing(t *testing.T) {
	var logged atomic.Int64
	srv := &kourier.Server{
		Config:   kourier.Config{Workers: 1, HandlerPool: 1},
		ErrorLog: log.New(counter{&logged}, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 10_000))
			if r.URL.Path == "/flush" {
				w.(http.Flusher).Flush()
			}
			panic("the reason")
		}),
	}
	address := engine{network: "unix"}.serving(t, srv)
	run := func(count int) {
		for i := range count {
			conn, err := net.Dial("unix", address)
			require.NoError(t, err)
			text := helloRequest
			if i%2 == 0 {
				text = "GET /flush HTTP/1.1\r\nHost: a\r\n\r\n"
			}
			_, err = io.WriteString(conn, text)
			require.NoError(t, err)
			if i%4 < 3 {
				_, _ = io.Copy(io.Discard, conn)
			}
			require.NoError(t, conn.Close())
		}
		eventually(t, func() bool { return hasNone(srv.Stats()) }, "all are gone")
	}
	run(1000)
	count := 100_000
	if testing.Short() || instrumented() {
		count = 2000
	}
	native, before := srv.Stats().NativeBytes, measure(t)
	run(count)
	require.LessOrEqual(t, srv.Stats().NativeBytes, native+spareBytes)
	mustNotGrow(t, before)
	eventually(t, func() bool { return logged.Load() == int64(1000+count) }, "each is logged: %v", &logged)
}

func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	srv := &kourier.Server{Handler: http.HandlerFunc(sayPath), Config: kourier.Config{HandlerPool: 16}}
	address := engine{network: "unix"}.serving(t, srv)
	ask := func(conn net.Conn) {
		_, err := io.WriteString(conn, helloRequest)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1000))
		require.NoError(t, err)
	}
	before := runtime.NumGoroutine()
	count := 5000
	if instrumented() {
		count = 1000
	}
	conns := make([]net.Conn, count)
	for i := range conns {
		conn, err := net.Dial("unix", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		conns[i] = conn
		ask(conn)
	}
	eventually(t, func() bool { s := srv.Stats(); return s.ConnsIdle == int64(count) && s.HandlersRunning == 0 }, "all are idle")
	require.LessOrEqual(t, runtime.NumGoroutine(), before+16+4)
	ask(conns[0])
	ask(conns[count-1])
}

func TestAThousandLivesWithHandlersLeaveNothing(t *testing.T) {
	var kept atomic.Int64 // servers that something still reaches
	live := func(i int) error {
		held := new([64 << 10]byte)
		kept.Add(1)
		runtime.AddCleanup(held, func(int) { kept.Add(-1) }, 0)
		reached := make(chan struct{}, 1)
		srv := &kourier.Server{Config: kourier.Config{Workers: 2}, ErrorLog: log.New(io.Discard, "", 0)}
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			held[0] = 1
			if r.URL.Path != "/wait" {
				return
			}
			reached <- struct{}{}
			<-r.Context().Done()
		})
		if i%4 == 0 {
			srv.ConnState = func(net.Conn, http.ConnState) {}
		}
		addr, err := srv.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		served := async(srv.ListenAndServe)
		idle, err := net.Dial("tcp", addr.String())
		if err != nil {
			return err
		}
		_, err = io.WriteString(idle, helloRequest)
		if err == nil {
			_, err = idle.Read(make([]byte, 1000))
		}
		if i%3 > 0 && err == nil { // a handler is running
			_, err = io.WriteString(idle, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
			<-reached
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if i%3 > 1 {
			_ = srv.Shutdown(ctx)
		}
		err = errors.Join(err, srv.Close(), idle.Close())
		if end := <-served; !errors.Is(end, kourier.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	}
	run := func(count int) {
		for i := range count {
			require.NoError(t, live(i))
		}
		eventually(t, func() bool { runtime.GC(); return kept.Load() == 0 }, "%v servers are still referred to", &kept)
	}
	run(200)
	before := measure(t)
	run(1000)
	mustNotGrow(t, before)
}

// At the end of the descriptors Hijack fails, and its connection ends, but nothing else.
func TestHandlersSurviveTheEndOfDescriptors(t *testing.T) {
	t.Parallel()
	if isChild() {
		hijackWithFewDescriptors(t)
		return
	}
	output, err := child(t).Output()
	require.NoError(t, err, "%s", output)
}

func hijackWithFewDescriptors(t *testing.T) {
	var failed, done atomic.Int64
	srv := &kourier.Server{Config: kourier.Config{Workers: 1}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hijack" {
			sayPath(w, r)
			return
		}
		defer done.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			failed.Add(1)
			_, _ = io.WriteString(w, "sorry")
			return
		}
		_ = conn.Close()
	})}
	address := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", address)
	require.NoError(t, err)
	go func() { _ = srv.Serve(l) }()
	witness := dial(t, address)
	require.Equal(t, "/", witness.ask(helloRequest).body)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	ends := []int{}
	for left := range 6 { // descriptors that Hijack finds
		for range 20 {
			p := dial(t, address)
			require.Equal(t, "/", p.ask(helloRequest).body)
			entries, err := os.ReadDir("/proc/self/fd")
			require.NoError(t, err)
			highest := 0
			for _, entry := range entries {
				var number int
				_, _ = fmt.Sscan(entry.Name(), &number)
				highest = max(highest, number)
			}
			var fill []int // no hole stays below
			for {
				fd, err := syscall.Dup(0)
				require.NoError(t, err)
				fill = append(fill, fd)
				if fd > highest {
					break
				}
			}
			few := limit
			few.Cur = uint64(fill[len(fill)-1] + 1 + left)
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
			before := done.Load()
			p.send("GET /hijack HTTP/1.1\r\nHost: a\r\n\r\n")
			eventually(t, func() bool { return done.Load() > before }, "the handler has returned")
			require.Equal(t, "/", witness.ask(helloRequest).body)
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
			for _, fd := range fill {
				require.NoError(t, syscall.Close(fd))
			}
			_, _ = io.Copy(io.Discard, p)
			require.NoError(t, p.Close())
		}
		ends = append(ends, int(failed.Load()))
	}
	require.Equal(t, 20, ends[0], "without a descriptor there is no net.Conn: %v", ends)
	require.Equal(t, ends[4], ends[5], "with five all is well: %v", ends)
	eventually(t, func() bool { s := srv.Stats(); return s.HandlersRunning == 0 && s.ConnsActive+s.ConnsIdle == 1 }, "only one is left")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, srv.Shutdown(ctx))
}
