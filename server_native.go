package kourier

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"
)

// This file is the life of the core of a server: which listeners it gets, its
// start and its end.

// The values of Stats.Engine for a server that has started.
const (
	engineNative   = "native"
	enginePortable = "portable"
)

var (
	errNoCore  = errors.New("kourier: built without the native core, which needs Linux, CGO_ENABLED=1 and a C++ compiler")
	errNoHTTP1 = errors.New("kourier: Protocols leave HTTP/1 out, which is what the native core speaks")
)

// whyPortable tells what keeps the core from serving the connections of l
// without TLS; nil if nothing does.
func (s *Server) whyPortable(l *boundListener) error {
	if !nativeBuilt {
		return errNoCore
	}
	if p := s.Protocols; p != nil && !p.HTTP1() && (p.HTTP2() || p.UnencryptedHTTP2()) {
		return errNoHTTP1
	}
	// A type that embeds one of these may have an Accept of its own.
	switch l.Listener.(type) {
	case *net.TCPListener, *net.UnixListener:
		return nil
	}
	return ErrForeignListener
}

// tellEngine has Stats name the engine that serves l, if l is the main listener.
func (s *Server) tellEngine(l *boundListener, name string) {
	s.running.Lock()
	defer s.running.Unlock()
	if s.portable.Load().main == l {
		s.engine = name
	}
}

// acceptNative has the core accept from l. s.mu is held.
func (s *Server) acceptNative(l *boundListener) error {
	if err := s.start(); err != nil {
		return err
	}
	origin, err := s.originOf(l)
	if err != nil {
		return err
	}
	err = ErrServerClosed
	s.use(func(c *core) { err = c.listen(l.Listener, l.worker, origin) })
	if err == nil {
		s.tellEngine(l, engineNative)
	}
	return err
}

// start starts the core, unless it runs. s.mu is held, and the server has begun
// and is not closing.
func (s *Server) start() error {
	if s.core != nil {
		return nil
	}
	workers := int(s.settings.workers)
	table := newLinkTable(s)
	d := newDispatcher(s.Fast, table.links(), workers, batchWrite, peerAddress, s.logHandler)
	d.keepAlivesOff = &s.keepAlivesOff
	d.notice = table.notice
	d.wait = table.wait
	spare, waits := makeSpareP(workers, s.Fast == nil && len(s.statics) == 0)
	if spare {
		d.enableYield()
	}
	started, err := startCore(table.coreSettings(s, waits), s.statics, d)
	if err != nil {
		table.closeWaits()
		return err
	}
	s.running.Lock()
	s.core = started
	s.links = table
	table.attach(started)
	s.stopped = make(chan struct{})
	s.running.Unlock()
	return nil
}

// drainNative has the core accept no more, and lets it end in order. What it
// returns is closed when it has, but not if ctx ends before.
func (s *Server) drainNative(ctx context.Context) <-chan struct{} {
	// The waiting is the core's, which knows nothing of contexts.
	ended, draining := make(chan struct{}), make(chan struct{})
	go func() {
		s.use((*core).drain)
		close(draining)
		for finished := false; !finished; {
			finished = true
			s.use(func(c *core) { finished = c.wait(shutdownPoll) })
			if !finished && ctx.Err() != nil {
				return
			}
		}
		s.stop()
		close(ended)
	}()
	if !s.onWorker() { // whom draining waits for
		select {
		case <-draining:
		case <-ctx.Done():
		}
	}
	return ended
}

// shutdownPoll is how long drainNative goes on behind the caller's back when its context has ended.
const shutdownPoll = 50 * time.Millisecond

// closeNative ends the core at once.
func (s *Server) closeNative() {
	if s.onWorker() {
		go s.stop()
	} else {
		s.stop()
	}
}

// use calls f with the core, unless there is none or its end has begun.
func (s *Server) use(f func(*core)) {
	s.running.RLock()
	defer s.running.RUnlock()
	if s.core != nil && !s.stopping {
		f(s.core)
	}
}

// onWorker reports whether the caller is a handler of this server.
func (s *Server) onWorker() bool {
	s.running.RLock()
	defer s.running.RUnlock()
	return s.core != nil && s.core.onWorker()
}

// stop joins the workers and frees the core, or waits until another call has
// done so. It waits for a handler that runs, which may use the server meanwhile.
func (s *Server) stop() {
	var last Stats
	s.use(func(c *core) {
		last = c.stats() // while the workers run: a thread that has ended has no clock
		s.links.addStats(&last)
		c.interrupt() // ends the waiting of Shutdown, which holds running
	})
	s.running.Lock()
	ending, stopped := s.core, s.stopped
	first := ending != nil && !s.stopping
	if first {
		s.stopping = true
		s.final = last
		s.final.ConnsActive, s.final.ConnsIdle, s.final.NativeBytes = 0, 0, 0
	}
	s.running.Unlock()
	if first {
		ending.stop()
		s.links.end()
		s.running.Lock()
		s.core = nil
		s.running.Unlock()
		close(stopped)
	}
	if stopped != nil {
		<-stopped
	}
}

// nativeStats returns the counters of the core; after its end, the last ones.
// s.running is held.
func (s *Server) nativeStats() Stats {
	switch {
	case s.stopping:
		final := s.final
		final.ParseErrors, final.Timeouts = maps.Clone(final.ParseErrors), maps.Clone(final.Timeouts)
		final.Workers = slices.Clone(final.Workers)
		return final
	case s.core != nil:
		stats := s.core.stats()
		s.links.addStats(&stats)
		return stats
	}
	return newStats()
}
