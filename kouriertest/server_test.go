package kouriertest_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/kouriertest"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "hello over "+r.Proto)
})

func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func TestPlain(t *testing.T) {
	server := kouriertest.NewServer(hello)
	defer server.Close()
	require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, server.URL)
	require.Nil(t, server.Certificate())
	_, body := get(t, server.Client(), server.URL)
	require.Equal(t, "hello over HTTP/1.1", body)
	_, body = get(t, http.DefaultClient, server.URL)
	require.Equal(t, "hello over HTTP/1.1", body)
}

func TestTLS(t *testing.T) {
	server := kouriertest.NewTLSServer(hello)
	defer server.Close()
	require.Regexp(t, `^https://127\.0\.0\.1:\d+$`, server.URL)
	response, body := get(t, server.Client(), server.URL)
	require.Equal(t, "hello over HTTP/1.1", body)
	require.Equal(t, server.Certificate(), response.TLS.PeerCertificates[0])
	require.NotEmpty(t, server.TLS.Certificates)
	for _, host := range []string{"127.0.0.1", "::1", "example.com", "www.example.com"} {
		require.NoError(t, server.Certificate().VerifyHostname(host))
	}

	_, err := http.Get(server.URL) //nolint:bodyclose // there is none
	require.ErrorContains(t, err, "certificate")
}

func TestHTTP2(t *testing.T) {
	server := kouriertest.NewUnstartedServer(hello)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	response, body := get(t, server.Client(), server.URL)
	require.Equal(t, "hello over HTTP/2.0", body)
	require.Equal(t, 2, response.ProtoMajor)
}

func TestHTTP2IsNotOfferedUnasked(t *testing.T) {
	server := kouriertest.NewTLSServer(hello)
	defer server.Close()
	config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.ServerName = "example.com"
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, "http/1.1", conn.ConnectionState().NegotiatedProtocol)
}

func TestTLSConfigIsCopied(t *testing.T) {
	given := &tls.Config{MinVersion: tls.VersionTLS13}
	server := kouriertest.NewUnstartedServer(hello)
	server.TLS = given
	server.StartTLS()
	defer server.Close()
	require.Empty(t, given.Certificates)
	response, _ := get(t, server.Client(), server.URL)
	require.Equal(t, uint16(tls.VersionTLS13), response.TLS.Version)
}

func TestExampleHostsLeadToTheServer(t *testing.T) {
	plain := kouriertest.NewServer(hello)
	defer plain.Close()
	secure := kouriertest.NewTLSServer(hello)
	defer secure.Close()
	for _, url := range []string{"http://example.com/", "http://www.example.com/"} {
		_, body := get(t, plain.Client(), url)
		require.Equal(t, "hello over HTTP/1.1", body)
	}
	for _, url := range []string{"https://example.com/", "https://www.example.com/"} {
		_, body := get(t, secure.Client(), url)
		require.Equal(t, "hello over HTTP/1.1", body)
	}
}

func TestCloseWaitsForRequests(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	server := kouriertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "late")
	}))
	answered := make(chan string, 1)
	go func() {
		response, err := http.Get(server.URL)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- string(body)
	}()
	<-entered
	closed := make(chan struct{})
	go func() {
		server.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Fatal("Close returned before the answer")
	case <-time.After(100 * time.Millisecond):
	}
	close(leave)
	require.Equal(t, "late", <-answered)
	<-closed
}

func TestCloseEndsIdleAndNewConnections(t *testing.T) {
	server := kouriertest.NewUnstartedServer(hello)
	fresh := make(chan struct{}, 1)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			fresh <- struct{}{}
		}
	}
	server.Start()
	transport := &http.Transport{} // whose idle connections Close cannot know
	get(t, &http.Client{Transport: transport}, server.URL)
	<-fresh
	silent, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer silent.Close()
	<-fresh

	server.Close()
	server.Close() // does nothing
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = silent.Read(make([]byte, 1))
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.Error(t, err)
	_, err = net.Dial("tcp", server.Listener.Addr().String())
	require.Error(t, err)
	transport.CloseIdleConnections()
}

func TestCloseWithoutStart(t *testing.T) {
	server := kouriertest.NewUnstartedServer(hello)
	server.Close()
	_, err := net.Dial("tcp", server.Listener.Addr().String())
	require.Error(t, err)
}

func TestCloseClientConnections(t *testing.T) {
	entered := make(chan struct{})
	server := kouriertest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	defer server.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := server.Client().Get(server.URL) //nolint:bodyclose // there is none
		failed <- err
	}()
	<-entered
	server.CloseClientConnections()
	require.Error(t, <-failed)
}

func TestUsersConnStateIsCalled(t *testing.T) {
	var mu sync.Mutex
	var states []http.ConnState
	server := kouriertest.NewUnstartedServer(hello)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, state)
	}
	server.Start()
	get(t, server.Client(), server.URL)
	server.Close()
	require.Equal(t, []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed}, states)
}

func TestHijackedConnectionsAreNotWaitedFor(t *testing.T) {
	hijacked := make(chan net.Conn, 1)
	server := kouriertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			hijacked <- conn
		}
	}))
	client, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	require.NoError(t, err)
	conn := <-hijacked
	defer conn.Close()
	server.Close()
	_, err = io.WriteString(conn, "still open")
	require.NoError(t, err)
	got := make([]byte, len("still open"))
	_, err = io.ReadFull(client, got)
	require.NoError(t, err)
	require.Equal(t, "still open", string(got))
}

func TestStartTwice(t *testing.T) {
	server := kouriertest.NewServer(hello)
	defer server.Close()
	require.PanicsWithValue(t, "kouriertest: server already started", server.Start)
}
