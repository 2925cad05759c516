package kourier

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorsAreThoseOfNetHTTP(t *testing.T) {
	require.ErrorIs(t, ErrServerClosed, http.ErrServerClosed)
	require.ErrorIs(t, errPeerGone, net.ErrClosed)
	require.False(t, errors.Is(ErrRequestDone, net.ErrClosed))
}
