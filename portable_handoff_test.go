package kourier

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection that has begun on the core goes on here with what it has sent.
func TestAConnectionThatIsHandedOverLosesNothing(t *testing.T) {
	t.Parallel()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	states := make(chan http.ConnState, 16)
	conns := make(chan net.Conn, 16)
	srv := &Server{
		Protocols: &protocols,
		ConnState: func(c net.Conn, state http.ConnState) {
			conns <- c
			states <- state
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
	}
	_, err := srv.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	client, server := net.Pipe()
	transport := &http.Transport{
		Protocols:   &protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}
	defer transport.CloseIdleConnections()
	go func() {
		first := make([]byte, 5)
		if _, err := io.ReadFull(server, first); err == nil {
			srv.portable.Load().serveConn(server, context.Background(), first)
		}
	}()
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://a/")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", string(body))
	require.NotEqual(t, http.StateNew, <-states, "the core has told of it")
	require.Same(t, server, <-conns)

	require.NoError(t, srv.Close())
	late, other := net.Pipe()
	srv.portable.Load().serveConn(late, context.Background(), nil)
	_, err = other.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}
