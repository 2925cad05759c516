package main

import (
	"context"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// A guest takes part in the chat.
type guest struct {
	t    *testing.T
	conn *websocket.Conn
	ctx  context.Context
}

func (c *client) join() *guest {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, "ws://"+c.address+"/chat", nil)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = conn.CloseNow() })
	return &guest{t: c.t, conn: conn, ctx: ctx}
}

func (g *guest) say(message string) {
	g.t.Helper()
	require.NoError(g.t, g.conn.Write(g.ctx, websocket.MessageText, []byte(message)))
}

func (g *guest) hear() string {
	g.t.Helper()
	_, message, err := g.conn.Read(g.ctx)
	require.NoError(g.t, err)
	return string(message)
}

// mustBeClosed requires that the server ends the conversation.
func (g *guest) mustBeClosed(status websocket.StatusCode) {
	g.t.Helper()
	_, _, err := g.conn.Read(g.ctx)
	require.Equal(g.t, status, websocket.CloseStatus(err), "%v", err)
}

func TestAllHearWhatOneSays(t *testing.T) {
	onEachEngine(t, func(c *client) {
		first, second := c.join(), c.join()
		for _, message := range []string{"hello", "", strings.Repeat("x", messageSizeMax)} {
			first.say(message)
			require.Equal(c.t, message, first.hear())
			require.Equal(c.t, message, second.hear())
		}
		require.NoError(c.t, second.conn.Close(websocket.StatusNormalClosure, "enough"))
		require.EqualValues(c.t, 101, c.log.await(c.t, "request", "/chat")["status"])
		first.say("alone")
		require.Equal(c.t, "alone", first.hear())
	})
}

func TestAConnectionThatBreaksLeavesTheChat(t *testing.T) {
	onEachEngine(t, func(c *client) {
		stays, breaks := c.join(), c.join()
		require.NoError(c.t, breaks.conn.CloseNow())
		c.log.await(c.t, "request", "/chat")
		stays.say("still here")
		require.Equal(c.t, "still here", stays.hear())
	})
}

func TestTheChatEndsWithTheServer(t *testing.T) {
	onEachEngine(t, func(c *client) {
		first, second := c.join(), c.join()
		c.stop()
		first.mustBeClosed(websocket.StatusGoingAway)
		second.mustBeClosed(websocket.StatusGoingAway)
		require.NoError(c.t, c.mustEnd())
	})
}

func TestTheChatRefuses(t *testing.T) {
	onEachEngine(t, func(c *client) {
		require.Equal(c.t, 426, c.ask("GET", "/chat", "").StatusCode)
		other := c.ask("GET", "/chat", "", "Connection", "Upgrade", "Upgrade", "websocket", "Origin", "http://other.example",
			"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")
		require.Equal(c.t, 403, other.StatusCode)
		long := c.join()
		long.say(strings.Repeat("x", messageSizeMax+1))
		long.mustBeClosed(websocket.StatusMessageTooBig)
	})
}

// The first frame may come in one segment with the handshake.
func TestWhatFollowsTheHandshakeIsHeard(t *testing.T) {
	onEachEngine(t, func(c *client) {
		conn := c.dial()
		conn.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n\x81\x82\x00\x00\x00\x00hi")
		require.Equal(c.t, 101, conn.receive().StatusCode)
		frame, err := conn.r.Peek(4)
		require.NoError(c.t, err)
		require.Equal(c.t, "\x81\x02hi", string(frame))
	})
}
