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

	// ErrForeignListener is returned by Serve for a listener without a file
	// descriptor, which the core cannot accept from.
	ErrForeignListener = errors.New("kourier: listener has no file descriptor")

	// ErrRequestDone is returned by a write to a [Response] whose request is
	// answered already: by Send or Canned, by Pass, or because its handler has returned.
	ErrRequestDone = errors.New("kourier: request already finished")
)

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
