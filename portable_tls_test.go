package kourier_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// A secureServer is what these tests want of a server, of this package or of net/http.
type secureServer interface {
	Serve(l net.Listener) error
	ServeTLS(l net.Listener, certFile, keyFile string) error
	Close() error
}

// serveSecure has serve accept from a free port of 127.0.0.1 until the test ends.
func serveSecure(t *testing.T, srv secureServer, serve func(l net.Listener) error) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, within(t, served), http.ErrServerClosed)
	})
	return l.Addr().String()
}

// onTLS serves srv, whose certificate is one for example.com unless it has its own.
func onTLS(t *testing.T, srv *kourier.Server) (address string) {
	t.Helper()
	if srv.TLSConfig == nil {
		cert, _ := certificate(t)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	return serveSecure(t, srv, func(l net.Listener) error { return srv.ServeTLS(l, "", "") })
}

// Whichever timeout is the shortest bounds the handshake.
func TestAHandshakeHasItsTime(t *testing.T) {
	t.Parallel()
	const short = 100 * time.Millisecond
	for name, srv := range map[string]*kourier.Server{
		"ReadHeaderTimeout": {ReadHeaderTimeout: short, ReadTimeout: time.Hour, WriteTimeout: time.Hour},
		"ReadTimeout":       {ReadHeaderTimeout: time.Hour, ReadTimeout: short, WriteTimeout: time.Hour},
		"WriteTimeout":      {ReadHeaderTimeout: time.Hour, ReadTimeout: time.Hour, WriteTimeout: short},
		"WriteTimeout only": {WriteTimeout: short},
	} {
		for _, sent := range []string{"", "\x16\x03\x01\x02\x00"} { // nothing, the begin of a ClientHello
			t.Run(fmt.Sprintf("%s %d", name, len(sent)), func(t *testing.T) {
				t.Parallel()
				events := make(chan kourier.Event, 1)
				var lines lockedBuffer
				srv := &kourier.Server{
					ReadHeaderTimeout: srv.ReadHeaderTimeout, ReadTimeout: srv.ReadTimeout, WriteTimeout: srv.WriteTimeout,
					Handler: http.NotFoundHandler(), ErrorLog: log.New(&lines, "", 0), OnEvent: func(e kourier.Event) { events <- e },
				}
				address := onTLS(t, srv)
				begun := time.Now()
				conn, err := net.Dial("tcp", address)
				require.NoError(t, err)
				defer conn.Close()
				require.NoError(t, conn.SetDeadline(begun.Add(long)))
				_, err = io.WriteString(conn, sent)
				require.NoError(t, err)
				_, err = conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				require.GreaterOrEqual(t, time.Since(begun), short)
				require.Equal(t, kourier.ReasonTLSHandshake, within(t, events).Reason)
				require.Contains(t, lines.String(), "http: TLS handshake error from "+conn.LocalAddr().String()+": ")
			})
		}
	}
}

func TestHTTPOnAPortForTLSIsToldSo(t *testing.T) {
	t.Parallel()
	address := onTLS(t, &kourier.Server{Handler: http.HandlerFunc(sayProto)})
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.0\r\n\r\n"} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(long)))
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", string(answer))
	}
}

func TestHandlersSeeTheStateOfTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		states := make(chan *tls.ConnectionState, 1)
		address := onTLS(t, &kourier.Server{
			Handler:   http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { states <- r.TLS }),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert},
		})
		transport := &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{
				RootCAs: pool, ServerName: "example.com", MinVersion: version, MaxVersion: version,
				Certificates: []tls.Certificate{cert}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
			},
		}
		client := &http.Client{Transport: transport, Timeout: long}
		for _, resumed := range []bool{false, true} {
			response, _ := fetch(t, client, "https://"+address+"/")
			state := within(t, states)
			require.True(t, state.HandshakeComplete)
			require.Equal(t, version, state.Version)
			require.Equal(t, response.TLS.CipherSuite, state.CipherSuite)
			require.Equal(t, "example.com", state.ServerName)
			require.Empty(t, state.NegotiatedProtocol)
			require.Equal(t, cert.Certificate[0], state.PeerCertificates[0].Raw)
			require.Equal(t, resumed, state.DidResume)
			key, err := state.ExportKeyingMaterial("EXPORTER-test", nil, 16)
			require.NoError(t, err)
			require.Len(t, key, 16)
		}
	}
}

// What is offered in the handshake, and to whom, is what net/http's server offers.
func TestProtocolsAreNegotiatedAsByNetHTTP(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	protocols := func(http1, http2, h2c bool) *http.Protocols {
		p := new(http.Protocols)
		p.SetHTTP1(http1)
		p.SetHTTP2(http2)
		p.SetUnencryptedHTTP2(h2c)
		return p
	}
	custom := func(_ *http.Server, conn *tls.Conn, _ http.Handler) { _, _ = io.WriteString(conn, "custom") }
	type next = map[string]func(*http.Server, *tls.Conn, http.Handler)
	for name, c := range map[string]struct {
		protocols  *http.Protocols
		next       next
		nextProtos []string // of TLSConfig
		want       string   // what a client gets that offers h2 and http/1.1
	}{
		"defaults":             {want: "h2"},
		"HTTP/1":               {protocols: protocols(true, false, false), want: "http/1.1"},
		"HTTP/2":               {protocols: protocols(false, true, false), want: "h2"},
		"both":                 {protocols: protocols(true, true, false), want: "h2"},
		"h2c is not for TLS":   {protocols: protocols(true, false, true), want: "http/1.1"},
		"an empty map":         {next: next{}, want: "http/1.1"},
		"a map with another":   {next: next{"other": custom}, want: "http/1.1"},
		"names":                {nextProtos: []string{"http/1.1"}, want: "http/1.1"},
		"names, h2 first":      {nextProtos: []string{"h2", "http/1.1"}, want: "h2"},
		"names and a map":      {nextProtos: []string{"other"}, next: next{"other": custom}, want: "http/1.1"},
		"names and HTTP/1":     {nextProtos: []string{"h2"}, protocols: protocols(true, false, false), want: "http/1.1"},
		"a map and both, told": {next: next{}, protocols: protocols(true, true, false), want: "h2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: c.nextProtos}
			quiet := log.New(io.Discard, "", 0)
			handler := http.HandlerFunc(sayProto)
			ours := &kourier.Server{Handler: handler, TLSConfig: config, TLSNextProto: c.next, Protocols: c.protocols, ErrorLog: quiet}
			theirs := &http.Server{Handler: handler, TLSConfig: config.Clone(), TLSNextProto: maps.Clone(c.next), Protocols: c.protocols, ErrorLog: quiet}
			serve := func(srv secureServer) string {
				return serveSecure(t, srv, func(l net.Listener) error { return srv.ServeTLS(l, "", "") })
			}
			our, their := serve(ours), serve(theirs)
			for _, offered := range [][]string{nil, {"h2"}, {"http/1.1"}, {"h2", "http/1.1"}, {"http/1.1", "h2"}, {"other", "h2"}, {"unknown"}} {
				got := negotiated(t, our, offered)
				require.Equal(t, negotiated(t, their, offered), got, "%v", offered)
				if len(offered) == 2 && offered[0] == "h2" {
					require.Equal(t, c.want, got)
				}
			}
		})
	}
}

// negotiated returns what a client that offers protocols comes to an agreement about, and what it reads if that is "other".
func negotiated(t *testing.T, address string, offered []string) string {
	t.Helper()
	dialer := &net.Dialer{Timeout: long}
	conn, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: offered})
	if err != nil {
		return "failed"
	}
	defer conn.Close()
	protocol := conn.ConnectionState().NegotiatedProtocol
	if protocol == "other" {
		require.NoError(t, conn.SetDeadline(time.Now().Add(long)))
		text, err := io.ReadAll(conn)
		require.NoError(t, err)
		protocol += " " + string(text)
	}
	return protocol
}

// A listener of package tls is foreign: what its connections negotiate counts.
func TestAListenerOfTLSIsServed(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	for _, names := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}} {
		config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: names}
		srv := &kourier.Server{Handler: http.HandlerFunc(sayProto), TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
		address := serveSecure(t, srv, func(l net.Listener) error { return srv.Serve(tls.NewListener(l, config)) })
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		_, body := fetch(t, &http.Client{Transport: transport, Timeout: long}, "https://"+address+"/")
		transport.CloseIdleConnections()
		if len(names) == 2 {
			require.Equal(t, "HTTP/2.0", body)
		} else {
			require.Equal(t, "HTTP/1.1", body)
		}
	}
}

// writePEM writes a certificate and its key into two files.
func writePEM(t *testing.T, cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	for _, f := range []struct {
		name, kind string
		bytes      []byte
	}{{certFile, "CERTIFICATE", cert.Certificate[0]}, {keyFile, "PRIVATE KEY", key}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.bytes})
		require.NoError(t, os.WriteFile(f.name, text, 0o600))
	}
}

// Where the certificate comes from is TLSConfig's business, or that of two files.
func TestCertificatesComeFromEverywhere(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "cert"), filepath.Join(folder, "key")
	writePEM(t, cert, certFile, keyFile)
	for name, c := range map[string]struct {
		config            *tls.Config
		certFile, keyFile string
	}{
		"Certificates": {config: &tls.Config{Certificates: []tls.Certificate{cert}}},
		"GetCertificate": {config: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &cert, nil
		}}},
		"GetConfigForClient": {config: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}, nil
		}}},
		"files":                   {nil, certFile, keyFile},
		"files and a TLSConfig":   {&tls.Config{MinVersion: tls.VersionTLS13}, certFile, keyFile},
		"files beside a source":   {&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}, certFile, keyFile},
		"files over Certificates": {&tls.Config{Certificates: []tls.Certificate{{}}}, certFile, keyFile},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := &kourier.Server{Handler: http.HandlerFunc(sayProto), TLSConfig: c.config, ErrorLog: log.New(io.Discard, "", 0)}
			addr, err := srv.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- srv.ListenAndServeTLS(c.certFile, c.keyFile) }()
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
			_, body := fetch(t, &http.Client{Transport: transport, Timeout: long}, "https://"+addr.String()+"/")
			require.Equal(t, "HTTP/2.0", body)
			transport.CloseIdleConnections()
			require.NoError(t, srv.Close())
			require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
		})
	}
	srv := &kourier.Server{Addr: "127.0.0.1:0"}
	require.ErrorIs(t, srv.ListenAndServeTLS(filepath.Join(folder, "none"), keyFile), os.ErrNotExist)
	require.Empty(t, srv.Addrs())
	require.NoError(t, srv.Close())
}
