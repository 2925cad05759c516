package kourier

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// A connKey names a connection of the core.
type connKey struct {
	worker     uint32
	connection uint64
}

// A connTable knows the connections that are open, for Server.ConnState and
// Server.ConnContext. Where neither is set there is none, and no connection has
// a Go object. It is fed on native threads.
type connTable struct {
	state    func(net.Conn, http.ConnState)                        // nil: not set
	context  func(ctx context.Context, c net.Conn) context.Context // nil: not set
	close    func(worker uint32, connection uint64)                // closes a connection of the core
	logPanic func(remote string, value any, stack []byte)
	conns    map[connKey]*trackedConn
	ended    bool // the core tells no more
	mu       sync.Mutex
}

// opened adds a connection. It does not block.
func (t *connTable) opened(worker uint32, connection uint64, local, remote net.Addr) {
	c := &trackedConn{table: t, key: connKey{worker, connection}, local: local, remote: remote}
	t.mu.Lock()
	if t.conns == nil {
		t.conns = map[connKey]*trackedConn{}
	}
	t.conns[c.key] = c
	t.mu.Unlock()
	c.tellLater(http.StateNew)
}

// changed tells the state of a connection that the core has. It does not block.
func (t *connTable) changed(worker uint32, connection uint64, state http.ConnState) {
	if c := t.find(worker, connection); c != nil {
		c.tellLater(state)
	}
}

// closed removes a connection that the core has closed. It does not block.
func (t *connTable) closed(worker uint32, connection uint64) {
	if t == nil {
		return
	}
	key := connKey{worker, connection}
	t.mu.Lock()
	c := t.conns[key]
	delete(t.conns, key)
	t.mu.Unlock()
	if c != nil {
		c.tellLater(http.StateClosed)
	}
}

// end tells of the connections that were closed with the core. Those of which a
// request is being served tell it themselves, when that is done.
func (t *connTable) end() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.ended = true
	var left []*trackedConn
	for _, c := range t.conns {
		if !c.serving {
			left = append(left, c)
		}
	}
	t.mu.Unlock()
	for _, c := range left {
		t.closed(c.key.worker, c.key.connection)
	}
}

// find returns the value that stands for a connection, nil if it is not open.
// It does not block.
func (t *connTable) find(worker uint32, connection uint64) *trackedConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns[connKey{worker, connection}]
}

// A trackedConn stands for a connection of the core in the calls of
// Server.ConnState and Server.ConnContext: the same value for all of its life. It
// has addresses and can be closed, but not read or written. A nil one tracks nothing.
type trackedConn struct {
	table         *connTable
	key           connKey
	local, remote net.Addr
	serving       bool // a request; table.mu guards it

	once sync.Once       // makes ctx
	ctx  context.Context // of ConnContext

	telling sync.Mutex // held while the user is told
	mu      sync.Mutex
	state   http.ConnState // that was announced last
	begun   bool           // a state was announced
	untold  []http.ConnState
}

var _ net.Conn = (*trackedConn)(nil)

// LocalAddr returns the server's end.
func (c *trackedConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the client's end.
func (c *trackedConn) RemoteAddr() net.Addr { return c.remote }

// Close closes the connection, whatever happens on it.
func (c *trackedConn) Close() error {
	c.table.close(c.key.worker, c.key.connection)
	return nil
}

// errTracked is returned by what only a hijacked connection can do.
var errTracked = fmt.Errorf("kourier: input and output are the server's until Hijack: %w", http.ErrNotSupported)

// Read returns an error.
func (c *trackedConn) Read([]byte) (int, error) { return 0, errTracked }

// Write returns an error.
func (c *trackedConn) Write([]byte) (int, error) { return 0, errTracked }

// SetDeadline returns an error.
func (c *trackedConn) SetDeadline(time.Time) error { return errTracked }

// SetReadDeadline returns an error.
func (c *trackedConn) SetReadDeadline(time.Time) error { return errTracked }

// SetWriteDeadline returns an error.
func (c *trackedConn) SetWriteDeadline(time.Time) error { return errTracked }

// context returns the parent of the contexts of c's requests.
func (c *trackedConn) context(base context.Context) context.Context {
	if c == nil || c.table.context == nil {
		return base
	}
	c.once.Do(func() {
		c.ctx = c.table.context(base, c)
		if c.ctx == nil {
			panic("ConnContext returned nil")
		}
	})
	return c.ctx
}

// active tells that a request is being served, until released is called.
func (c *trackedConn) active() {
	if c == nil {
		return
	}
	c.table.mu.Lock()
	c.serving = true
	c.table.mu.Unlock()
	c.tell(http.StateActive)
}

// idle tells that no request is being served.
func (c *trackedConn) idle() { c.tell(http.StateIdle) }

// released is called when the connection is the core's again, or nobody's.
func (c *trackedConn) released() {
	if c == nil {
		return
	}
	c.table.mu.Lock()
	c.serving = false
	ended := c.table.ended
	c.table.mu.Unlock()
	if ended {
		c.table.closed(c.key.worker, c.key.connection)
	}
}

// hijacked tells that the connection is the handler's, and forgets it.
func (c *trackedConn) hijacked() {
	if c == nil {
		return
	}
	c.table.mu.Lock()
	delete(c.table.conns, c.key)
	c.table.mu.Unlock()
	c.tell(http.StateHijacked)
}

// tell announces a state, and returns when the user was told of it: also if
// another has announced it before.
func (c *trackedConn) tell(state http.ConnState) {
	if c != nil && c.table.state != nil {
		c.announce(state)
		c.drain()
	}
}

// tellLater announces a state. It does not block.
func (c *trackedConn) tellLater(state http.ConnState) {
	if c.announce(state) {
		go c.drain()
	}
}

// announce puts a state into the queue, unless it is no change: nothing follows
// Closed and Hijacked, and no state follows itself.
func (c *trackedConn) announce(state http.ConnState) bool {
	if c.table.state == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun && (c.state == state || c.state == http.StateClosed || c.state == http.StateHijacked) {
		return false
	}
	c.begun = true
	c.state = state
	c.untold = append(c.untold, state)
	return true
}

// drain tells the user all that is in the queue, in order.
func (c *trackedConn) drain() {
	c.telling.Lock()
	defer c.telling.Unlock()
	for {
		c.mu.Lock()
		if len(c.untold) == 0 {
			c.mu.Unlock()
			return
		}
		state := c.untold[0]
		c.untold = c.untold[1:]
		c.mu.Unlock()
		c.call(state)
	}
}

// call tells the user a state. A panic ends with it: others wait to be told.
func (c *trackedConn) call(state http.ConnState) {
	defer func() {
		if value := recover(); value != nil {
			reportPanic(c.table.logPanic, c.remote.String(), value)
		}
	}()
	c.table.state(c, state)
}
