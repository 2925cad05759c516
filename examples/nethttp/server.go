package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/kourier-go/kourier"
)

const (
	engineKourier = "kourier"
	engineNetHTTP = "net/http"

	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
)

// A server is what the program needs of a [kourier.Server] or an [http.Server].
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
	RegisterOnShutdown(func())
}

// newServer returns a server of the engine. Only kourier has workers of its own.
func newServer(engine string, h http.Handler, log *slog.Logger, workers int) (server, error) {
	errorLog := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	switch engine {
	case engineKourier:
		return &kourier.Server{
			Handler:           h,
			ReadHeaderTimeout: readHeaderTimeout,
			IdleTimeout:       idleTimeout,
			ErrorLog:          errorLog,
			Config:            kourier.Config{Workers: workers}, // the line that net/http does not have
		}, nil
	case engineNetHTTP:
		return &http.Server{
			Handler:           h,
			ReadHeaderTimeout: readHeaderTimeout,
			IdleTimeout:       idleTimeout,
			ErrorLog:          errorLog,
		}, nil
	}
	return nil, fmt.Errorf("engine %q is neither %s nor %s", engine, engineKourier, engineNetHTTP)
}
