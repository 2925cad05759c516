package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A stream is a subscription to /events.
type stream struct {
	t      *testing.T
	body   io.ReadCloser
	lines  *bufio.Reader
	cancel context.CancelFunc // has the client leave
}

// listen returns when the service has the subscription.
func (c *client) listen() *stream {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.address+"/events", nil)
	require.NoError(c.t, err)
	response, err := c.http.Do(r)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { response.Body.Close() })
	require.Equal(c.t, 200, response.StatusCode)
	require.Equal(c.t, "text/event-stream", response.Header.Get("Content-Type"))
	s := &stream{t: c.t, body: response.Body, lines: bufio.NewReader(response.Body), cancel: cancel}
	require.Equal(c.t, ": welcome\n", s.line())
	require.Equal(c.t, "\n", s.line())
	return s
}

func (s *stream) line() string {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	require.NoError(s.t, err)
	return line
}

// mustEnd requires that the answer ends as it should, with nothing more in it.
func (s *stream) mustEnd() {
	s.t.Helper()
	rest, err := io.ReadAll(s.lines)
	require.NoError(s.t, err)
	require.Empty(s.t, string(rest))
}

func TestEventsArriveAsTheyHappen(t *testing.T) {
	onEachEngine(t, func(c *client) {
		first, second := c.listen(), c.listen()
		c.createNote(`{"title":"first"}`)
		c.upload("f", "content")
		c.ask("DELETE", "/notes/1", "")
		for _, s := range []*stream{first, second} {
			for _, name := range []string{"note-created", "file-stored", "note-deleted"} {
				require.Equal(c.t, "event: "+name+"\n", s.line())
				require.Regexp(c.t, `^data: \{.*\}\n$`, s.line())
				require.Equal(c.t, "\n", s.line())
			}
		}
	})
}

func TestAStreamEndsWhenItsClientLeaves(t *testing.T) {
	onEachEngine(t, func(c *client) {
		stays, leaves := c.listen(), c.listen()
		leaves.cancel()
		require.EqualValues(c.t, 200, c.log.await(c.t, "request", "/events")["status"])
		c.createNote(`{"title":"still here"}`)
		require.Equal(c.t, "event: note-created\n", stays.line())
	})
}

func TestStreamsEndWithTheServer(t *testing.T) {
	onEachEngine(t, func(c *client) {
		first, second := c.listen(), c.listen()
		c.stop()
		first.mustEnd()
		second.mustEnd()
		require.NoError(c.t, c.mustEnd())
	})
}
