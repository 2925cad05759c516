package kourier

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	waitMax    = 10 * time.Second
	pollPeriod = time.Millisecond
)

// A stateRecorder keeps what ConnState is told of each connection.
type stateRecorder struct {
	mu     sync.Mutex
	states map[net.Conn][]http.ConnState
}

func (r *stateRecorder) record(c net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states == nil {
		r.states = map[net.Conn][]http.ConnState{}
	}
	r.states[c] = append(r.states[c], state)
}

// only returns what was recorded of the one connection that there was.
func (r *stateRecorder) only() []http.ConnState {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, states := range r.states {
		if len(r.states) == 1 {
			return append([]http.ConnState(nil), states...)
		}
	}
	return nil
}

func newConnServer(t *testing.T, handler http.HandlerFunc) (*handlerServer, *stateRecorder) {
	s := newHandlerServer(t, handler)
	recorder := &stateRecorder{}
	s.table = &connTable{state: recorder.record, logPanic: s.engine.logPanic}
	return s, recorder
}

// c.4 88
func TestConnStates(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hijack":
			conn, _, err := w.(http.Hijacker).Hijack()
			require.NoError(t, err)
			conn.Close()
		case "/panic":
			panic(http.ErrAbortHandler)
		case "/close":
			w.Header().Set("Connection", "close")
		}
	}
	const (
		fresh    = http.StateNew
		active   = http.StateActive
		idle     = http.StateIdle
		hijacked = http.StateHijacked
		closed   = http.StateClosed
	)
	for name, test := range map[string]struct {
		texts []string // each is sent when what came before is answered
		want  []http.ConnState
	}{
		"nothing":  {nil, []http.ConnState{fresh, closed}},
		"one":      {[]string{get("/")}, []http.ConnState{fresh, active, idle, closed}},
		"two":      {[]string{get("/"), get("/")}, []http.ConnState{fresh, active, idle, active, idle, closed}},
		"together": {[]string{get("/") + get("/")}, []http.ConnState{fresh, active, idle, closed}},
		"close":    {[]string{get("/close")}, []http.ConnState{fresh, active, closed}},
		"panic":    {[]string{get("/panic")}, []http.ConnState{fresh, active, closed}},
		"hijack":   {[]string{get("/hijack")}, []http.ConnState{fresh, active, hijacked}},
	} {
		t.Run(name, func(t *testing.T) {
			s, recorder := newConnServer(t, handler)
			conn, reader := s.send("")
			for i, text := range test.texts {
				_, err := io.WriteString(conn, text)
				require.NoError(t, err)
				if i < len(test.texts)-1 {
					s.answer(reader)
				}
			}
			_ = conn.(*net.TCPConn).CloseWrite() // it may be closed already
			_, _ = io.ReadAll(reader)
			require.Eventually(t, func() bool { return len(recorder.only()) == len(test.want) }, waitMax, pollPeriod)
			require.Equal(t, test.want, recorder.only())
			require.Empty(t, s.table.conns)
		})
	}
}

// c.1 22
func TestConnContextIsMadeOncePerConnection(t *testing.T) {
	type key struct{}
	made := 0
	var values []any
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) { values = append(values, r.Context().Value(key{})) })
	s.table = &connTable{context: func(ctx context.Context, c net.Conn) context.Context {
		made++
		require.Equal(t, s.listener.Addr().String(), c.LocalAddr().String())
		require.NotEmpty(t, c.RemoteAddr().String())
		return context.WithValue(ctx, key{}, made)
	}}
	for range 2 {
		conn, reader := s.send("")
		for range 2 {
			_, err := io.WriteString(conn, get("/"))
			require.NoError(t, err)
			s.answer(reader)
		}
	}
	require.Equal(t, []any{1, 1, 2, 2}, values)
}

func TestConnContextMayFail(t *testing.T) {
	for _, fail := range []func(context.Context, net.Conn) context.Context{
		func(context.Context, net.Conn) context.Context { return nil },
		func(context.Context, net.Conn) context.Context { panic("ConnContext returned nil") },
	} {
		s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) { t.Error("served") })
		s.table = &connTable{context: fail}
		_, reader := s.send(get("/"))
		_, err := reader.ReadByte()
		require.Error(t, err)
		require.Contains(t, s.logs(), "http: panic serving 127.0.0.1:")
		require.Contains(t, s.logs(), "ConnContext returned nil")
	}
}

// Calls come in order and without locks, so that they may use the connection.
func TestConnStateMayPanicAndClose(t *testing.T) {
	s, recorder := newConnServer(t, func(http.ResponseWriter, *http.Request) {})
	closed := make(chan uint64, 1)
	s.table.close = func(_ uint32, connection uint64) { closed <- connection }
	s.table.state = func(c net.Conn, state http.ConnState) {
		recorder.record(c, state)
		if state == http.StateActive {
			require.NoError(t, c.Close())
			_, err := c.Read(nil)
			require.ErrorIs(t, err, http.ErrNotSupported)
			_, err = c.Write(nil)
			require.ErrorIs(t, err, http.ErrNotSupported)
			require.ErrorIs(t, c.SetDeadline(time.Time{}), http.ErrNotSupported)
			require.ErrorIs(t, c.SetReadDeadline(time.Time{}), http.ErrNotSupported)
			require.ErrorIs(t, c.SetWriteDeadline(time.Time{}), http.ErrNotSupported)
		}
		panic(state)
	}
	readAnswers(t, s.exchange(get("/")), "GET")
	require.EqualValues(t, 1, <-closed)
	require.Eventually(t, func() bool { return len(recorder.only()) == 4 }, waitMax, pollPeriod)
}

// Whether a request is being served as the core ends or not: each connection is told to be closed, once.
func TestTheEndOfTheCoreClosesEveryConnection(t *testing.T) {
	t.Parallel()
	told := make(chan uint64, 8)
	table := &connTable{state: func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			told <- c.(*trackedConn).key.connection
		}
	}}
	var conns []*trackedConn
	for i := range uint64(3) {
		table.opened(0, i, &net.TCPAddr{}, &net.TCPAddr{})
		conns = append(conns, table.find(0, i))
	}
	conns[1].active()
	conns[1].released() // to be closed, of which the core tells no more
	conns[2].active()
	table.end()
	require.ElementsMatch(t, []uint64{0, 1}, []uint64{<-told, <-told})
	conns[2].released()
	require.EqualValues(t, 2, <-told)
	conns[2].released()
	require.Empty(t, table.conns)
	require.Empty(t, told)
}
