package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/kourier-go/kourier/bench/servers/nginx"
)

// A server is one that is benchmarked.
type server struct {
	name      string
	program   string   // in the folder of programs, or a path
	flags     []string // that it alone has
	helloOnly bool     // it answers /hello and nothing else

	// prepare writes what the program needs into its folder, and returns the arguments to start it with; nil for the
	// flags that the others share.
	prepare func(start) ([]string, error)

	// build makes the program in the folder of programs; nil if somebody else has.
	build func(builder) error
}

// start is what a server is started with.
type start struct {
	folder      string // for the server's own files; it exists
	port        int
	workers     int
	connections int // that are going to be made
	size        int // of downloads, in bytes
	slowdown    int // how many times as long as in the published runs the timeouts are
}

// The timeouts of the published runs.
const (
	requestTimeout = 20 * time.Second
	idleTimeout    = 60 * time.Second
)

var servers = []server{
	{name: "kourier-fast", program: "kourier", flags: []string{"-mode=fast"}, build: builder.kourier},
	{name: "kourier-handler", program: "kourier", flags: []string{"-mode=handler"}, build: builder.kourier},
	{name: "nethttp", program: "nethttp", build: goServer("nethttp")},
	{name: "fasthttp", program: "fasthttp", build: goServer("fasthttp")},
	{name: "nbio", program: "nbio", build: goServer("nbio")},
	{name: "hyper", program: "hyper", build: builder.hyper},
	{name: "nginx", program: "nginx", prepare: prepareNginx, build: builder.nginx},
}

// ancestor is the C++ server that kourier descends from, which its user has built.
func ancestor(path string) server { return server{name: "ancestor", program: path, helloOnly: true} }

func (s start) requestTimeout() time.Duration { return requestTimeout * time.Duration(s.slowdown) }
func (s start) idleTimeout() time.Duration    { return idleTimeout * time.Duration(s.slowdown) }

// arguments are those that start the server.
func (s server) arguments(with start) ([]string, error) {
	if s.prepare != nil {
		return s.prepare(with)
	}
	return append([]string{
		"-a", "127.0.0.1",
		"-p", strconv.Itoa(with.port),
		"--worker-count=" + strconv.Itoa(with.workers),
		"--request-timeout=" + strconv.Itoa(int(with.requestTimeout()/time.Second)),
		"--idle-timeout=" + strconv.Itoa(int(with.idleTimeout()/time.Second)),
	}, s.flags...), nil
}

func prepareNginx(with start) ([]string, error) {
	// nginx started by root reads and writes as another user.
	if err := os.Chmod(with.folder, 0o755); err != nil {
		return nil, err
	}
	download, err := os.Create(filepath.Join(with.folder, "download"))
	if err != nil {
		return nil, err
	}
	if err := download.Truncate(int64(with.size)); err != nil {
		return nil, err
	}
	if err := download.Close(); err != nil {
		return nil, err
	}
	config := nginx.Config{
		Folder:         with.folder,
		Address:        net.JoinHostPort("127.0.0.1", strconv.Itoa(with.port)),
		Workers:        with.workers,
		Connections:    with.connections,
		RequestTimeout: with.requestTimeout(),
		IdleTimeout:    with.idleTimeout(),
	}
	if err := os.WriteFile(filepath.Join(with.folder, "nginx.conf"), []byte(config.Text()), 0o644); err != nil {
		return nil, err
	}
	return []string{"-p", with.folder, "-c", "nginx.conf"}, nil
}

// choose returns those of servers that are named, in the order of the names; all if none is.
func choose(servers []server, names []string) ([]server, error) {
	if len(names) == 0 {
		return servers, nil
	}
	var chosen []server
	for _, name := range names {
		at := slices.IndexFunc(servers, func(s server) bool { return s.name == name })
		if at < 0 {
			return nil, fmt.Errorf("no server is called %q", name)
		}
		if slices.ContainsFunc(chosen, func(s server) bool { return s.name == name }) {
			return nil, fmt.Errorf("the server %q is named twice", name)
		}
		chosen = append(chosen, servers[at])
	}
	return chosen, nil
}
