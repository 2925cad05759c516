//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// The tests in this file look at the whole process. They are not parallel, so
// that none of the others runs meanwhile.

// A footprint is what a process holds.
type footprint struct {
	descriptors, threads, goroutines int
	mappings                         int
	resident, heap                   int64 // bytes
}

func (f footprint) String() string {
	return fmt.Sprintf("%d descriptors, %d threads, %d goroutines, %d mappings, %d KiB resident, %d KiB of Go's heap",
		f.descriptors, f.threads, f.goroutines, f.mappings, f.resident>>10, f.heap>>10)
}

func measure(t *testing.T) (f footprint) {
	t.Helper()
	debug.FreeOSMemory()
	list := func(folder string) int {
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		return len(entries)
	}
	f.descriptors, f.threads = list("/proc/self/fd"), list("/proc/self/task")
	f.goroutines = runtime.NumGoroutine()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	f.mappings = bytes.Count(maps, []byte("\n"))
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	require.True(t, found)
	kibibytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(t, err)
	f.resident = kibibytes << 10
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	f.heap = int64(memory.HeapAlloc)
	return f
}

// mustNotGrow requires that what has been measured before is all that is held,
// but for what a runtime may keep: a few threads of Go, free memory.
func mustNotGrow(t *testing.T, before footprint) {
	t.Helper()
	var after footprint
	slack := int64(3 * mebibyte)
	if instrumented() {
		slack = 32 * mebibyte
	}
	eventually(t, func() bool {
		after = measure(t)
		return after.descriptors <= before.descriptors && after.goroutines <= before.goroutines &&
			after.threads <= before.threads+8 && after.mappings <= before.mappings+64 &&
			after.resident <= before.resident+slack && after.heap <= before.heap+2*mebibyte
	}, "before: %v\nafter: %v", before, &after)
	t.Logf("before: %v", before)
	t.Logf("after: %v", after)
}

// instrumented reports whether a sanitizer keeps memory of its own.
func instrumented() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool {
		return (s.Key == "-race" || s.Key == "-asan") && s.Value == "true"
	})
}

func TestAThousandLivesLeaveNothing(t *testing.T) {
	var kept atomic.Int64 // servers that something still reaches
	ask := func(network, address string) error {
		conn, err := net.Dial(network, address)
		if err != nil {
			return err
		}
		_, err = io.WriteString(conn, closeRequest)
		answer, readErr := io.ReadAll(conn)
		if !bytes.HasSuffix(answer, []byte("hello")) {
			err = errors.Join(err, fmt.Errorf("answered %q", answer))
		}
		return errors.Join(err, readErr, conn.Close())
	}
	live := func(i int) error {
		// What the handler holds goes with the last reference to it: that of the
		// handle in the core's hands, were it forgotten.
		held := new([64 << 10]byte)
		kept.Add(1)
		runtime.AddCleanup(held, func(int) { kept.Add(-1) }, 0)
		srv := &kourier.Server{
			Config: kourier.Config{Workers: 2, ReusePort: i%2 == 0},
			Fast: func(req *kourier.Request, res *kourier.Response) {
				held[0]++
				sayHello(req, res)
			},
		}
		if err := srv.Static("/static", kourier.StaticResponse{Body: []byte("static")}); err != nil {
			return err
		}
		network, address := "tcp", "127.0.0.1:0"
		if i%10 == 9 {
			network, address = "unix", filepath.Join(os.TempDir(), fmt.Sprintf("kourier-%d", os.Getpid()))
		}
		addr, err := srv.Listen(network, address)
		if err != nil {
			return err
		}
		switch i % 3 {
		case 0: // without a request
			if err := srv.Close(); err != nil {
				return err
			}
			return nil
		case 1:
			served := async(srv.ListenAndServe)
			err := errors.Join(ask(network, addr.String()), srv.Close())
			if end := <-served; !errors.Is(end, kourier.ErrServerClosed) {
				err = errors.Join(err, end)
			}
			return err
		}
		served := async(srv.ListenAndServe)
		// Connections that are idle, and in the middle, at the end.
		idle, err := net.Dial(network, addr.String())
		if err != nil {
			return err
		}
		err = ask(network, addr.String())
		_, writeErr := io.WriteString(idle, "GET / HT")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err = errors.Join(err, writeErr)
		if end := srv.Shutdown(ctx); end != nil && !errors.Is(end, context.Canceled) {
			err = errors.Join(err, end)
		}
		err = errors.Join(err, srv.Close(), idle.Close())
		if end := <-served; !errors.Is(end, kourier.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	}
	run := func(first, last int) {
		for i := first; i < last; i++ {
			require.NoError(t, live(i))
		}
	}
	run(0, 200) // until the C library and Go have what they keep
	eventually(t, func() bool { runtime.GC(); return kept.Load() == 0 }, "the first servers are forgotten")
	before := measure(t)
	run(0, 1000)
	eventually(t, func() bool { runtime.GC(); return kept.Load() == 0 }, "%v servers are still referred to", &kept)
	mustNotGrow(t, before)
}

func TestFailedStartsLeaveNothing(t *testing.T) {
	t.Setenv("KOURIER_REQUIRE_NATIVE", "1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	fail := func() {
		srv := &kourier.Server{Addr: l.Addr().String(), Config: kourier.Config{Workers: 2, ReusePort: true}}
		require.Error(t, srv.ListenAndServe())
		_, err := srv.Listen("tcp", "127.0.0.1:0:0")
		require.Error(t, err)
		foreign, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.Error(t, srv.Serve(foreignListener{foreign}))
		require.NoError(t, srv.Close())

		srv = &kourier.Server{Config: kourier.Config{Workers: -1}}
		require.Error(t, srv.ListenAndServe())
	}
	for range 50 {
		fail()
	}
	before := measure(t)
	for range 200 {
		fail()
	}
	mustNotGrow(t, before)
}

func TestPanicsAndLostConnectionsLeaveNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var logged atomic.Int64
	srv := &kourier.Server{
		Config:   kourier.Config{Workers: 1},
		ErrorLog: log.New(counter{&logged}, "", 0),
		Fast: func(req *kourier.Request, res *kourier.Response) {
			_, _ = res.Write(make([]byte, 10_000))
			panic("the reason")
		},
	}
	servingOn(t, srv, "unix", path)
	piece := make([]byte, 4096)
	run := func(count int) {
		for i := range count {
			conn, err := net.Dial("unix", path)
			require.NoError(t, err)
			_, err = io.WriteString(conn, helloRequest)
			require.NoError(t, err)
			if i%4 != 0 {
				n, err := conn.Read(piece)
				require.NoError(t, err)
				require.Equal(t, "HTTP/1.1 500", string(piece[:min(n, 12)]))
			}
			require.NoError(t, conn.Close())
		}
		eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.ConnsIdle == 0 }, "all are gone")
	}
	run(1000)
	count := 100_000
	if testing.Short() || instrumented() {
		count = 20_000
	}
	native, before := srv.Stats().NativeBytes, measure(t)
	run(count)
	require.LessOrEqual(t, srv.Stats().NativeBytes, native+spareBytes)
	mustNotGrow(t, before)
	require.EqualValues(t, 1000+count, logged.Load())
	require.EqualValues(t, 1000+count, srv.Stats().Requests)
}

// A counter counts the writes to it.
type counter struct{ count *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.count.Add(1)
	return len(p), nil
}

func TestManyConnectionsLeaveNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	srv := &kourier.Server{Config: kourier.Config{Workers: 2}, Fast: echo}
	servingOn(t, srv, "unix", path)
	body := strings.Repeat("x", 3000)
	run := func() (held int64) {
		var conns []net.Conn
		for range 4000 {
			conn, err := net.Dial("unix", path)
			require.NoError(t, err)
			_, err = io.WriteString(conn, post("/", body)[:2000])
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		eventually(t, func() bool { return srv.Stats().ConnsActive == 4000 }, "all have come")
		held = srv.Stats().NativeBytes
		for _, conn := range conns {
			require.NoError(t, conn.Close())
		}
		eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.ConnsIdle == 0 }, "all are gone")
		return held
	}
	started := srv.Stats().NativeBytes
	run()
	before := measure(t)
	held := run()
	require.Greater(t, held, started+4000*2000)
	require.LessOrEqual(t, srv.Stats().NativeBytes, started+2*spareBytes)
	mustNotGrow(t, before)
}

// Whoever gives up waiting is forgotten when the last connection has gone.
func TestAShutdownGivenUpEndsByItself(t *testing.T) {
	before := measure(t)
	srv := &kourier.Server{Fast: sayHello, Config: kourier.Config{Workers: 2}}
	addr, err := srv.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := async(srv.ListenAndServe)
	p := dial(t, addr.String()).send("GET / HT")
	eventually(t, func() bool { return srv.Stats().ConnsActive == 1 }, "half has come")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, srv.Shutdown(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	require.Equal(t, "hello", p.send("TP/1.1\r\nHost: a\r\n\r\n").answer().body)
	p.mustEnd()
	require.NoError(t, p.Close())
	require.NoError(t, soon(t, async(func() error { return srv.Shutdown(context.Background()) })))
	mustNotGrow(t, before)
}
