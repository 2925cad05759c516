package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// A bench is what measuring needs to know beside what is measured.
type bench struct {
	proc        proc
	bin         string // where the programs are
	serverCores []int
	loadCores   []int
	settle      time.Duration
	warmSeconds int
	slowdown    int // see profile
}

// measure puts one load on a fresh s.
func (b bench) measure(ctx context.Context, s server, with step, round int) (run record.Run, err error) {
	connections := with.connections + with.slowHeads + with.slowReaders
	r, err := startServer(ctx, s, b.bin, b.serverCores, connections, with.size, b.slowdown)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	run = record.Run{
		Kind:        record.KindRun,
		Server:      s.name,
		Load:        with.load,
		Round:       round,
		Connections: with.connections,
		Depth:       with.depth,
		Rate:        with.rate,
	}
	if run.Start, err = b.proc.sample(r.pid()); err != nil {
		return run, err
	}
	if !with.isAboutMemory() {
		b.settle = 0
	}
	if with.mode == "" {
		err = b.withWrk(ctx, r, with, &run)
	} else {
		err = b.withLoader(ctx, r, with, &run)
	}
	if err != nil {
		return run, err
	}
	run.Closed, err = b.settled(ctx, r)
	return run, err
}

// settled returns the memory of a server that has had the time to give back what it can.
func (b bench) settled(ctx context.Context, r *running) (record.Sample, error) {
	if err := wait(ctx, b.settle); err != nil {
		return record.Sample{}, err
	}
	return b.proc.sample(r.pid())
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// withLoader fills run with what our loader does to the server.
func (b bench) withLoader(ctx context.Context, r *running, with step, run *record.Run) error {
	if with.attacked() {
		// What clients that read take for good of what the slow readers ask for is no attack's doing.
		missed, err := b.download(ctx, r, with)
		if err != nil {
			return err
		}
		alone := with
		alone.slowHeads, alone.slowReaders = 0, 0
		var before record.Run
		atOnce := b
		atOnce.settle = 0 // who looks at the memory waits below
		if err := atOnce.withLoader(ctx, r, alone, &before); err != nil {
			return err
		}
		sample, err := b.settled(ctx, r)
		if err != nil {
			return err
		}
		run.Attack = &record.Attack{
			SlowHeads:   with.slowHeads,
			SlowReaders: with.slowReaders,
			Without:     before.Latency,
			Errors:      before.Errors.Plus(missed),
			Before:      sample,
		}
	}
	l, err := startLoader(ctx, filepath.Join(b.bin, "load"), b.loadCores, loaderArguments(with, r.port, b.slowdown))
	if err != nil {
		return err
	}
	err = b.watch(ctx, r, l, with, run)
	result, errEnd := l.end()
	if err := errors.Join(errEnd, err); err != nil {
		return err
	}
	run.Seconds = result.Seconds
	run.Requests, run.Drained, run.Late = result.Requests, result.Drained, result.Late
	run.Latency, run.Errors = result.Latency, result.Errors
	run.ServedPerQuarter, run.Alive = result.ServedPerQuarter, result.Alive
	switch {
	case result.Seconds == 0:
	case with.load == record.LoadUpload:
		run.BytesPerS = float64(result.BytesSent) / result.Seconds
	default:
		run.BytesPerS = float64(result.BytesReceived) / result.Seconds
	}
	if run.Attack != nil {
		run.Attack.Standing, run.Attack.StandingAtEnd = result.Attack.Standing, result.Attack.StandingAtEnd
		run.Attack.Closed, run.Attack.ConnectErrors = result.Attack.Closed, result.Attack.ConnectErrors
	}
	return nil
}

// download has as many clients as there are slow readers ask for what those ask for, and read it.
func (b bench) download(ctx context.Context, r *running, with step) (record.Errors, error) {
	if with.slowReaders == 0 {
		return record.Errors{}, nil
	}
	readers := step{mode: record.LoadDownload, connections: with.slowReaders, seconds: with.seconds, size: with.size}
	l, err := startLoader(ctx, filepath.Join(b.bin, "load"), b.loadCores, loaderArguments(readers, r.port, b.slowdown))
	if err != nil {
		return record.Errors{}, err
	}
	result, err := l.end()
	return result.Errors, err
}

// watch looks at the server while the loader goes from phase to phase.
func (b bench) watch(ctx context.Context, r *running, l *loader, with step, run *record.Run) error {
	if err := l.await("connected"); err != nil {
		return err
	}
	before, err := b.proc.cpu(r.pid())
	if err != nil {
		return err
	}
	if err := errors.Join(l.next(), l.await("loading")); err != nil {
		return err
	}
	// An idle load is over at once.
	var loadedAlready bool
	select {
	case phase := <-l.phases:
		loadedAlready = phase == "loaded"
	case <-time.After(time.Duration(with.seconds) * time.Second / 2):
	}
	if run.Loaded, err = b.proc.sample(r.pid()); err != nil {
		return err
	}
	if !loadedAlready {
		if err := l.await("loaded"); err != nil {
			return err
		}
	}
	if err := b.atEnd(r, before, run); err != nil {
		return err
	}
	run.Idle, err = b.settled(ctx, r)
	return err
}

// withWrk fills run with what wrk does to the server.
func (b bench) withWrk(ctx context.Context, r *running, with step, run *record.Run) error {
	if b.warmSeconds > 0 {
		if _, err := runWrk(ctx, with, r.port, b.loadCores, r.folder, b.warmSeconds); err != nil {
			return err
		}
	}
	before, err := b.proc.cpu(r.pid())
	if err != nil {
		return err
	}
	var result wrked
	done := make(chan error, 1)
	go func() {
		var err error
		result, err = runWrk(ctx, with, r.port, b.loadCores, r.folder, with.seconds)
		done <- err
	}()
	err = wait(ctx, time.Duration(with.seconds)*time.Second/2)
	var errSample error
	run.Loaded, errSample = b.proc.sample(r.pid())
	if err := errors.Join(<-done, err, errSample); err != nil {
		return err
	}
	run.Seconds = result.Seconds
	run.Requests = result.Requests
	run.BytesPerS = float64(result.BytesReceived) / result.Seconds
	run.Errors = result.Errors
	if with.depth == 1 { // wrk's percentiles are wrong, or 0, where it sends several requests at once
		run.Latency = result.Latency
	}
	return b.atEnd(r, before, run)
}

// atEnd notes what the load has cost when it is over.
func (b bench) atEnd(r *running, before record.CPU, run *record.Run) error {
	after, err := b.proc.cpu(r.pid())
	if err != nil {
		return err
	}
	run.CPU = record.CPU{User: after.User - before.User, System: after.System - before.System}
	sample, err := b.proc.sample(r.pid())
	run.Loaded.HWM, run.Loaded.Peak = sample.HWM, sample.Peak
	return err
}
