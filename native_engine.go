//go:build linux && cgo && !kourier_portable

package kourier

import (
	"math"
	"net/http"
	"syscall"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// This file joins the native core and the Handler side of a Server.

// newLinkTable returns what takes connections of the core over, and hears of
// them. s.settings is resolved.
func newLinkTable(s *Server) *linkTable {
	t := &linkTable{
		bases:     &s.bases,
		shelves:   make([]linkShelf, s.settings.workers),
		waits:     make([]eventWait, s.settings.workers),
		bodyRate:  int(s.settings.bodyRateMin),
		drainRate: int(s.settings.drainRateMin),
	}
	if s.handler() != nil {
		t.handlers = newHandlerEngine(s)
	}
	if s.OnEvent != nil {
		t.event = s.event
	}
	if s.ConnState != nil || s.ConnContext != nil {
		t.conns = &connTable{state: s.ConnState, context: s.ConnContext, close: t.closeConnection, logPanic: s.logPanic}
	}
	if s.Protocols != nil && s.Protocols.UnencryptedHTTP2() {
		t.serveHTTP2 = s.portable.Load().serveConn
	}
	return t
}

func newHandlerEngine(s *Server) *handlerEngine {
	p := s.portable.Load()
	e := &handlerEngine{
		handler:          http.HandlerFunc(s.serveHandler),
		noGeneralOptions: s.DisableGeneralOptionsHandler,
		fast:             s.Fast,
		fastLog:          s.logHandler,
		server:           &p.http,
		readTimeout:      s.ReadTimeout,
		writeTimeout:     s.WriteTimeout,
		drainMax:         int64(s.settings.drainSizeMax),
		maxBodyBytes:     int64(s.settings.bodySizeMax),
		closing:          s.isClosing,
		keepAlives:       func() bool { return !s.keepAlivesOff.Load() },
		closeIdle:        func() { s.use((*core).closeIdle) },
		logf:             s.logf,
		logPanic:         s.logPanic,
		dates:            p.dates,
	}
	e.pools = make([]goroutinePool, s.settings.workers)
	for i := range e.pools {
		e.pools[i].idleMax = (int(s.settings.handlerPool) + len(e.pools) - 1) / len(e.pools)
	}
	return e
}

// coreSettings are the settings of the core of s. waits: see eventWait.
func (t *linkTable) coreSettings(s *Server, waits bool) settings {
	own := s.settings
	switch {
	case t.handlers == nil:
		own.bodyCollectMax = math.MaxUint64
	case s.Fast == nil:
		own.bodyCollectMax = 0
	}
	own.preface = uint32(flagIf(t.handlers != nil, 1))
	own.notifyConns = uint32(flagIf(t.conns != nil, 1))
	own.notifyReasons = uint32(flagIf(t.event != nil, 1))
	own.notifyStates = uint32(flagIf(s.ConnState != nil, 1))
	own.receiverWaits = uint32(flagIf(waits, 1))
	return own
}

// hijackHTTP2 gives a connection that speaks HTTP/2 to net/http's server.
func (t *linkTable) hijackHTTP2(h *handed) {
	conn, rest, err := h.link.hijack()
	if err != nil {
		h.link.release(abi.ReleaseAbort)
		return
	}
	h.conn.hijacked()
	t.serveHTTP2(conn, h.base, append(h.block, rest...))
}

// connNotice feeds the table of connections. On the worker.
func (t *linkTable) connNotice(worker uint32, n *abi.Notice) {
	if n.Kinds&abi.NoticeOpened != 0 {
		fd := t.core.linkFD(linkID{worker, n.Connection})
		t.conns.opened(worker, n.Connection, socketAddr(fd, syscall.Getsockname), socketAddr(fd, syscall.Getpeername))
	}
	if n.Kinds&abi.NoticeActive != 0 {
		t.conns.changed(worker, n.Connection, http.StateActive)
	}
	if n.Kinds&abi.NoticeIdle != 0 {
		t.conns.changed(worker, n.Connection, http.StateIdle)
	}
	if n.Kinds&abi.NoticeClosed != 0 {
		t.conns.closed(worker, n.Connection)
	}
}

// closeConnection closes a connection of the core, soon.
func (t *linkTable) closeConnection(worker uint32, connection uint64) {
	if !t.core.tryHold() {
		return
	}
	id := linkID{worker, connection}
	if t.ended.Load() || t.core.closeConnection(id) {
		t.core.letGo()
		return
	}
	// Too many at a time. The caller may be the worker that has to close them.
	go func() {
		defer t.core.letGo()
		for !t.ended.Load() && !t.core.closeConnection(id) {
			time.Sleep(time.Millisecond)
		}
	}()
}

// links is t for a dispatcher; nil if there is no Handler to take anything.
func (t *linkTable) links() links {
	if t.handlers == nil {
		return nil
	}
	return t
}

// attach makes the core known, before it has a listener.
func (t *linkTable) attach(c *core) { t.core = c }

// end wakes who waits on a link and ends the idle goroutines, after the workers have ended.
func (t *linkTable) end() {
	t.ended.Store(true)
	t.closeWaits()
	t.closeAll()
	t.conns.end()
	if t.handlers != nil {
		for i := range t.handlers.pools {
			t.handlers.pools[i].close()
		}
	}
}

// addStats adds what goroutines have counted.
func (t *linkTable) addStats(s *Stats) {
	if t.handlers == nil {
		return
	}
	c := &t.handlers.counters
	s.HandlersRunning += c.running.Load()
	s.ConnsHijacked += int64(c.hijacked.Load())
	s.BytesIn += t.bytesIn.Load()
	s.BytesOut += t.bytesOut.Load()
	c.responses.addTo(s)
}

var _ links = (*linkTable)(nil)
