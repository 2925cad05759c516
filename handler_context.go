package kourier

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// A requestContext is the context of one request. It ends when the handler
// returns, when the peer goes, or with its parent. What it takes to learn of the
// last two is set up when somebody asks for the first time: most handlers never do.
// Any goroutine may use it, also after the request.
type requestContext struct {
	scope *scope

	mu       sync.Mutex
	asked    *contextFollowers // nil: nobody has asked for anything
	detached bool              // from the link: the handler has returned or hijacked
	watching bool              // the peer and the parent are watched
	peerGone bool
	ended    bool
	// read and write: the user has moved that deadline of the link.
	readDeadline, writeDeadline bool
}

// A scope is what requests that came together share, also when they were kept. It does not change.
type scope struct {
	parent context.Context // of BaseContext or ConnContext
	server *http.Server    // the value of http.ServerContextKey
	link   link
	sender *sender // of the answers
}

// contextFollowers are those who want to hear of the end of a context, and what few
// ask for.
type contextFollowers struct {
	done       chan struct{} // nil until asked for
	notify     chan bool     // of CloseNotify; nil until asked for
	funcs      map[*func()]struct{}
	stopParent func() bool
	local      net.Addr // nil until asked for
	err        error    // why the context has ended; nil for context.Canceled
}

// followers is where to add one. c.mu is held.
func (c *requestContext) followers() *contextFollowers {
	if c.asked == nil {
		c.asked = &contextFollowers{}
	}
	return c.asked
}

// Deadline returns that of the parent.
func (c *requestContext) Deadline() (time.Time, bool) { return c.scope.parent.Deadline() }

// String keeps package fmt from reading the fields.
func (c *requestContext) String() string { return "kourier.requestContext" }

// Done returns the channel that is closed when the context ends.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.followers()
	if f.done == nil {
		f.done = make(chan struct{})
		if c.ended {
			close(f.done)
		}
		c.watch()
	}
	return f.done
}

// Err returns why the context has ended, nil if it has not.
func (c *requestContext) Err() error {
	if err := c.scope.parent.Err(); err != nil {
		c.cancel(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch()
	switch {
	case !c.ended:
		return nil
	case c.asked != nil && c.asked.err != nil:
		return c.asked.err
	}
	return context.Canceled
}

// Value knows the two keys of net/http's server. The local address is asked for
// once, and not after the request.
func (c *requestContext) Value(key any) any {
	switch key {
	case http.ServerContextKey:
		return c.scope.server
	case http.LocalAddrContextKey:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.localAddr()
	}
	return c.scope.parent.Value(key)
}

// localAddr returns the server's end of the connection, nil if nobody has asked for it in time. c.mu is held.
func (c *requestContext) localAddr() net.Addr {
	f := c.followers()
	if f.local == nil && !c.detached {
		f.local = c.scope.link.localAddr()
	}
	return f.local
}

// AfterFunc has f called when the context ends. Package context uses it to make
// children without a goroutine for each. f must not block.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		go f() // the caller may hold what f locks
		return func() bool { return false }
	}
	c.watch()
	all := c.followers()
	if all.funcs == nil {
		all.funcs = map[*func()]struct{}{}
	}
	entry := &f
	all.funcs[entry] = struct{}{}
	c.mu.Unlock()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := all.funcs[entry]
		delete(all.funcs, entry)
		return waiting
	}
}

// watch has the context end with the peer and the parent. c.mu is held.
func (c *requestContext) watch() {
	if c.watching || c.ended {
		return
	}
	c.watching = true
	if !c.detached {
		c.scope.link.onGone(func() { go c.gone() }) // the link may call at once, and c.mu is held
	}
	if parent := c.scope.parent; parent.Done() != nil {
		c.followers().stopParent = context.AfterFunc(parent, func() { c.cancel(parent.Err()) })
	}
}

// gone tells that the peer has closed.
func (c *requestContext) gone() {
	c.mu.Lock()
	if c.detached {
		c.mu.Unlock()
		return
	}
	if !c.peerGone {
		c.peerGone = true
		if f := c.asked; f != nil && f.notify != nil {
			f.notify <- true
		}
	}
	c.mu.Unlock()
	c.cancel(context.Canceled)
}

// closeNotify returns the channel of http.CloseNotifier.
func (c *requestContext) closeNotify() <-chan bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.followers()
	if f.notify == nil {
		f.notify = make(chan bool, 1)
		if c.peerGone {
			f.notify <- true
		}
		c.watch()
	}
	return f.notify
}

// withLink calls f with the link, unless the handler has returned or hijacked.
// f must not block.
func (c *requestContext) withLink(f func(link)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.detached {
		return ErrRequestDone
	}
	f(c.scope.link)
	return nil
}

// detach forgets the link, because the handler hijacks it and goes on.
func (c *requestContext) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.localAddr() // is not to be had any more
	c.detachLocked()
}

func (c *requestContext) detachLocked() {
	if c.watching && !c.detached {
		c.scope.link.onGone(nil)
	}
	c.detached = true
}

// end ends the context because its handler has returned.
func (c *requestContext) end() {
	c.mu.Lock()
	c.detachLocked()
	c.cancelLocked(context.Canceled)
}

func (c *requestContext) cancel(err error) {
	c.mu.Lock()
	c.cancelLocked(err)
}

// cancelLocked ends the context with err, unless it has ended, and unlocks c.mu.
func (c *requestContext) cancelLocked(err error) {
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	if err != context.Canceled { //nolint:errorlint // the value that Err returns, and no other
		c.followers().err = err
	}
	f := c.asked
	if f == nil {
		c.mu.Unlock()
		return
	}
	if f.done != nil {
		close(f.done)
	}
	funcs, stopParent := f.funcs, f.stopParent
	f.funcs, f.stopParent = nil, nil
	c.mu.Unlock()
	if stopParent != nil {
		stopParent()
	}
	for f := range funcs {
		(*f)()
	}
}
