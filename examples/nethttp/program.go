package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// A program is the service with its server and its temporary directory.
type program struct {
	address       string // host:port
	engine        string
	workers       int
	uploadSizeMax int64         // bytes
	grace         time.Duration // that requests in flight have when the program ends
	listening     func(net.Addr)
	log           *slog.Logger
}

// run serves until ctx is done, and lets the requests in flight be answered then.
func (p program) run(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "nethttp-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()

	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	svc, err := newService(directory, p.uploadSizeMax, stopping.Done(), p.log)
	if err != nil {
		return err
	}
	srv, err := newServer(p.engine, svc.handler, p.log, p.workers)
	if err != nil {
		return err
	}
	srv.RegisterOnShutdown(stop)

	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.listening(l.Addr())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	deadline, cancel := context.WithTimeout(context.Background(), p.grace)
	defer cancel()
	if err := srv.Shutdown(deadline); err != nil {
		return errors.Join(err, srv.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return svc.chat.wait(deadline)
}
