package kourier

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

var (
	// ErrServerClosed is what Serve and ListenAndServe return after Shutdown or
	// Close. It is the value that net/http uses, so errors.Is in code written for
	// net/http holds.
	ErrServerClosed = http.ErrServerClosed

	// ErrNativeRequired is returned by the methods that serve without TLS when
	// KOURIER_REQUIRE_NATIVE=1 stands in the environment and the portable engine
	// would have to serve. It wraps [errors.ErrUnsupported]; the reason is wrapped with it.
	ErrNativeRequired = fmt.Errorf("kourier: the environment requires the native core: %w", errors.ErrUnsupported)

	// ErrForeignListener is the reason, beside ErrNativeRequired, that a listener
	// is not a socket which the core can accept from.
	ErrForeignListener = errors.New("kourier: listener is not a *net.TCPListener or *net.UnixListener")

	// ErrRequestDone is returned by a write to a [Response] whose request is
	// answered already: by Send or Canned, by Pass, or because its handler has returned.
	ErrRequestDone = errors.New("kourier: request already finished")
)

// errBlocked is returned for what would have to be waited for.
var errBlocked = errors.New("kourier: nothing has come")

// errPeerGone is returned by writes once the connection is lost.
var errPeerGone = fmt.Errorf("kourier: the connection of this request: %w", net.ErrClosed)

// A ConfigError reports a setting that cannot be used. It is found when the
// setting is first looked at, before anything is opened or started.
type ConfigError struct {
	Field string // the setting, for example "Config.MaxBodyBytes"
	Value any    // what it was set to
	Why   string // what is wrong with Value, a sentence without a period
}

// Error returns the name of the field and what is wrong with it.
func (e *ConfigError) Error() string { return "kourier: " + e.Field + ": " + e.Why }
