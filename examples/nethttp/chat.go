package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	messageSizeMax = 4 << 10          // bytes
	messageTimeout = 10 * time.Second // for a client to take a message
)

// A chat hands what each client says over a WebSocket to all of them, its sender too.
type chat struct {
	said     broadcast[[]byte]
	stopping <-chan struct{}
	serving  sync.WaitGroup
}

func newChat(stopping <-chan struct{}) *chat { return &chat{stopping: stopping} }

// wait returns when nobody chats any more. Shutdown does not wait for hijacked
// connections; it must have returned, so that nobody joins.
func (c *chat) wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		c.serving.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join serves a client until it leaves, is too slow, or the server shuts down.
func (c *chat) join(w http.ResponseWriter, r *http.Request) {
	c.serving.Add(1)
	defer c.serving.Done()
	heard := c.said.subscribe() // before the client knows that it has joined
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		c.said.unsubscribe(heard)
		return // Accept has answered
	}
	conn.SetReadLimit(messageSizeMax)
	var writing sync.WaitGroup
	writing.Go(func() { c.write(conn, heard) })
	for {
		// The request's context says nothing about a hijacked connection.
		_, message, err := conn.Read(context.Background())
		if err != nil {
			break
		}
		c.said.publish(message)
	}
	c.said.unsubscribe(heard)
	writing.Wait()
}

// write sends what is heard. It closes the connection, which ends the reading of it.
func (c *chat) write(conn *websocket.Conn, heard <-chan []byte) {
	defer func() { _ = conn.CloseNow() }() // it is closed already if all went well
	for {
		select {
		case message, ok := <-heard:
			if !ok {
				_ = conn.Close(websocket.StatusPolicyViolation, "too slow") // unless it has left
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), messageTimeout)
			err := conn.Write(ctx, websocket.MessageText, message)
			cancel()
			if err != nil {
				return
			}
		case <-c.stopping:
			_ = conn.Close(websocket.StatusGoingAway, "the server shuts down")
			return
		}
	}
}
