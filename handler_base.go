package kourier

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
)

// baseContexts are the parents of the contexts of a core's connections, by the
// numbers that the core has for the origins of those: one for each listener, or,
// without Server.BaseContext, one for all. They are read while the core runs.
type baseContexts struct {
	all atomic.Pointer[[]context.Context] // never written to
}

// originsMax bounds the origins: the core keeps eight bits of a connection for them.
const originsMax = 256

var errOrigins = errors.New("kourier: BaseContext is for at most 256 listeners of the native core")

// add returns the number of a new one. It must not be called twice at a time.
func (b *baseContexts) add(base context.Context) (origin uint8, err error) {
	all := b.list()
	if len(all) == originsMax {
		return 0, errOrigins
	}
	all = append(all[:len(all):len(all)], base)
	b.all.Store(&all)
	return uint8(len(all) - 1), nil
}

func (b *baseContexts) list() []context.Context {
	if all := b.all.Load(); all != nil {
		return *all
	}
	return nil
}

// originOf returns the origin of the connections of l. It asks BaseContext, which
// may use the server, without s.mu, once for all sockets of an address. s.mu is held.
func (s *Server) originOf(l *boundListener) (uint8, error) {
	switch {
	case l.lead.based:
		return l.lead.origin, nil
	case s.BaseContext == nil && len(s.bases.list()) > 0:
		return 0, nil
	}
	p := s.portable.Load()
	base := func() context.Context {
		s.mu.Unlock()
		defer s.mu.Lock()
		return p.baseContext(l.lead)
	}()
	switch {
	case base == nil:
		panic("BaseContext returned a nil context")
	case s.phase != phaseStarted:
		return 0, ErrServerClosed
	}
	if s.ConnContext != nil {
		base = context.WithValue(base, http.ServerContextKey, &p.http)
	}
	origin, err := s.bases.add(base)
	l.lead.based, l.lead.origin = err == nil, origin
	return origin, err
}
