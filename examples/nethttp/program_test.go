package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func entries(t *testing.T, directory string) []fs.DirEntry {
	t.Helper()
	found, err := os.ReadDir(directory)
	require.NoError(t, err)
	return found
}

// beginUpload returns when the handler waits for the body, which is yet to be sent.
func (c *client) beginUpload() (conn *rawConn, body string) {
	c.t.Helper()
	body, contentType := form(c.t, "slow", "it takes its time")
	conn = c.dial()
	conn.send(fmt.Sprintf("POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		contentType, len(body)))
	require.Equal(c.t, 100, conn.receive().StatusCode)
	return conn, body
}

func TestShutdownWaitsForARequest(t *testing.T) {
	onEachEngine(t, func(c *client) {
		conn, body := c.beginUpload()
		stream := c.listen()
		c.stop()
		stream.mustEnd() // the shutdown has begun
		conn.send(body[:len(body)/2])
		select {
		case <-c.ended:
			require.FailNow(c.t, "it has not waited", "%v", c.err)
		default:
		}
		conn.send(body[len(body)/2:])
		response := conn.receive()
		require.Equal(c.t, 201, response.StatusCode)
		require.True(c.t, response.Close)
		require.NoError(c.t, c.mustEnd())
		_, err := net.Dial("tcp", c.address)
		require.ErrorIs(c.t, err, syscall.ECONNREFUSED)
	})
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	for _, engine := range []string{engineKourier, engineNetHTTP} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			c := start(t, program{engine: engine, grace: 50 * time.Millisecond})
			conn, _ := c.beginUpload()
			c.stop()
			require.ErrorIs(t, c.mustEnd(), context.DeadlineExceeded)
			_, err := conn.r.ReadByte()
			require.Error(t, err, "the connection is closed")
		})
	}
}

func TestMistakesEndTheProgramWithAReason(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })
	require.ErrorContains(t, program{engine: "other", log: slog.New(slog.DiscardHandler)}.run(t.Context()), `engine "other"`)
	for _, engine := range []string{engineKourier, engineNetHTTP} {
		require.ErrorIs(t, program{engine: engine, address: taken.Addr().String(), log: slog.New(slog.DiscardHandler)}.run(t.Context()), syscall.EADDRINUSE)
	}
	p := program{engine: engineKourier, address: "127.0.0.1:0", workers: -1, listening: func(net.Addr) {}, log: slog.New(slog.DiscardHandler)}
	require.ErrorContains(t, p.run(t.Context()), "Config.Workers")
}
