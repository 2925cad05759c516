//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// The characters of RFC 3986 §3.3 and §3.4 and of RFC 9110 §5.5 and §5.6.2. A
// '%' is a part of a target only with two hex digits behind it.
const (
	alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	pathBytes     = alphanumerics + "-._~" + "!$&'()*+,;=" + ":@" + "/"
	queryBytes    = pathBytes + "?"
	nameBytes     = alphanumerics + "!#$%&'*+-.^_`|~"
	hexDigits     = "0123456789ABCDEFabcdef"
)

func valueByteIsValid(b byte) bool { return b == '\t' || b >= ' ' && b != 0x7f }

// A probe is one request with one strange byte or pair in it.
type probe struct {
	target string
	field  string // a whole field line without its line end, or ""
}

func (p probe) request() string {
	request := "GET " + p.target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	if p.field != "" {
		request += p.field + "\r\n"
	}
	return request + "\r\n"
}

// targetProbes puts each byte into the path and into the query, and each pair
// of bytes behind a '%' of either.
func targetProbes(visit func(p probe, valid bool)) {
	for i := range 256 {
		b := byte(i)
		one := string([]byte{b})
		if b != '?' && b != '%' { // both are valid here, with another meaning
			visit(probe{target: "/a" + one + "b"}, strings.Contains(pathBytes, one))
		}
		if b != '%' {
			visit(probe{target: "/a?b" + one + "c"}, strings.Contains(queryBytes, one))
		}
		for j := range 256 {
			pair := string([]byte{b, byte(j)})
			valid := strings.Contains(hexDigits, pair[:1]) && strings.Contains(hexDigits, pair[1:])
			visit(probe{target: "/a%" + pair + "b"}, valid)
			visit(probe{target: "/a?b%" + pair + "c"}, valid)
		}
	}
}

// fieldProbes puts each byte first, in the middle and last into a field's name
// and value.
func fieldProbes(visit func(p probe, valid bool)) {
	for i := range 256 {
		b := byte(i)
		one := string([]byte{b})
		validInName := strings.Contains(nameBytes, one)
		visit(probe{target: "/", field: one + "x: v"}, validInName)
		// A ':' behind the first byte ends the name, and the rest is a valid value.
		visit(probe{target: "/", field: "x" + one + "y: v"}, validInName || b == ':')
		visit(probe{target: "/", field: "x" + one + ": v"}, validInName || b == ':')
		for _, value := range []string{one + "v", "v" + one + "w", "v" + one} {
			visit(probe{target: "/", field: "x: " + value}, valueByteIsValid(b))
		}
	}
}

// TestMalformedRequestsAreRefused sends every one of these requests on a
// connection of its own: none with a byte that may not stand there is answered
// 200, and none without is refused.
func TestMalformedRequestsAreRefused(t *testing.T) {
	server := &kourier.Server{
		Fast: func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte("ok")) },
	}
	address, err := server.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-served, kourier.ErrServerClosed)
	})

	type question struct {
		probe
		valid bool
	}
	questions := make(chan question, 1024)
	var wrong failureList
	var workers sync.WaitGroup
	for worker := range 8 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			asker := newAsker(address.String(), worker)
			for q := range questions {
				status, err := asker.ask(q.request())
				switch {
				case err != nil:
					wrong.add("%q %q: %v", q.target, q.field, err)
				case q.valid && status != "200":
					wrong.add("%q %q is valid and was answered %q", q.target, q.field, status)
				case !q.valid && status == "200":
					wrong.add("%q %q is malformed and was answered 200", q.target, q.field)
				}
			}
		})
	}

	valid, malformed, every := 0, 0, 1
	if testing.Short() {
		every = 16
	}
	send := func(p probe, isValid bool) {
		if isValid {
			valid++
		} else if malformed++; malformed%every != 0 {
			return
		}
		questions <- question{p, isValid}
	}
	begun := time.Now()
	targetProbes(send)
	fieldProbes(send)
	close(questions)
	workers.Wait()
	wrong.report(t)
	t.Logf("%d malformed requests (one in %d sent) and %d valid ones in %.1f s", malformed, every, valid, time.Since(begun).Seconds())
	require.GreaterOrEqual(t, malformed, 123_942)
}

// failureList keeps the first failures and counts the others.
type failureList struct {
	mutex sync.Mutex
	first []string
	count int
}

func (l *failureList) add(format string, arguments ...any) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.count++; len(l.first) < 50 {
		l.first = append(l.first, fmt.Sprintf(format, arguments...))
	}
}

func (l *failureList) report(t *testing.T) {
	t.Helper()
	for _, text := range l.first {
		t.Error(text)
	}
	if l.count > len(l.first) {
		t.Errorf("and %d more", l.count-len(l.first))
	}
}

// An asker sends one request a connection. It leaves no socket in TIME_WAIT:
// the ports would run out.
type asker struct {
	dialer  net.Dialer
	address string
	answer  []byte
}

func newAsker(address string, worker int) *asker {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(worker+1))}
	return &asker{dialer: net.Dialer{LocalAddr: local, Timeout: 10 * time.Second}, address: address, answer: make([]byte, 4096)}
}

// ask returns the status code of the answer, or "" when the connection was
// closed without one.
func (a *asker) ask(request string) (status string, err error) {
	connection, err := a.dialer.Dial("tcp", a.address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	if err := connection.(*net.TCPConn).SetLinger(0); err != nil {
		return "", err
	}
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(connection, request); err != nil {
		return "", err
	}
	size, err := io.ReadAtLeast(connection, a.answer, len("HTTP/1.1 200"))
	if errors.Is(err, io.EOF) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(a.answer[:size], []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return "", fmt.Errorf("answered %q", line)
	}
	return string(line[len("HTTP/1.1 "):len("HTTP/1.1 200")]), nil
}
