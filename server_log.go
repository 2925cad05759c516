package kourier

import (
	"fmt"
	"io"
	"log"
	"net/netip"
	"strings"
	"time"
)

// logHandler reports what a handler did wrong, with net/http's words for a panic.
func (s *Server) logHandler(value any, stack []byte, req *Request) {
	remote, method, path := req.RemoteAddr(), req.Method(), string(req.Path())
	switch {
	case s.Logger != nil && stack != nil:
		s.Logger.Error("panic serving", "remote", remote, "method", method, "path", path, "panic", fmt.Sprint(value), "stack", string(stack))
	case s.Logger != nil:
		s.Logger.Warn("handler misused its response", "remote", remote, "method", method, "path", path, "error", fmt.Sprint(value))
	case stack != nil:
		s.logf("http: panic serving %v: %v\n%s", remote, value, stack)
	default:
		s.logf("%v, answering %s %s of %v", value, method, path, remote)
	}
}

// logPanic reports the panic of an http.Handler, or of another function of the user's.
func (s *Server) logPanic(remote string, value any, stack []byte) {
	if s.Logger != nil {
		s.Logger.Error("panic serving", "remote", remote, "panic", fmt.Sprint(value), "stack", string(stack))
		return
	}
	s.logf("http: panic serving %v: %v\n%s", remote, value, stack)
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}

// netHTTPLog returns the log for net/http's server, whose lines go where those of
// this package go; nil is package log's standard logger to net/http too.
func (s *Server) netHTTPLog() *log.Logger {
	if s.Logger == nil && s.OnEvent == nil {
		return s.ErrorLog
	}
	return log.New(lineWriter{s}, "", 0)
}

// A lineWriter takes the lines that net/http logs, one a call.
type lineWriter struct{ server *Server }

var _ io.Writer = lineWriter{}

func (w lineWriter) Write(data []byte) (int, error) {
	line := strings.TrimSuffix(string(data), "\n")
	s := w.server
	rest, handshake := strings.CutPrefix(line, "http: TLS handshake error from ")
	address, why, _ := strings.Cut(rest, ": ")
	if handshake {
		remote, _ := netip.ParseAddrPort(address) // invalid for what is no TCP connection
		s.event(Event{Reason: ReasonTLSHandshake, Remote: remote, Detail: why})
	}
	switch {
	case s.Logger == nil:
		s.logf("%s", line)
	case handshake && why == io.EOF.Error(): // what port scanners and health checks leave behind
		s.Logger.Debug("TLS handshake failed", "remote", address, "error", why)
	case handshake:
		s.Logger.Info("TLS handshake failed", "remote", address, "error", why)
	case strings.HasPrefix(line, "http: panic serving"):
		s.Logger.Error(line)
	default:
		s.Logger.Warn(line)
	}
	return len(data), nil
}

// event completes e and hands it to OnEvent.
func (s *Server) event(e Event) {
	if s.OnEvent == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			reportPanic(s.logPanic, e.Remote.String(), value)
		}
	}()
	e.Time = time.Now()
	s.OnEvent(e)
}
