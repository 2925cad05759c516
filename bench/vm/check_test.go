package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// goodRun is one with 100 connections that counts.
func goodRun() record.Run {
	return record.Run{
		Server:      "a",
		Load:        record.LoadMemory,
		Connections: 100,
		Requests:    40,
		Drained:     60,
		Alive:       100,
		Start:       record.Sample{PSS: 5_000_000, HWM: 6_000_000, Peak: 70_000_000, Sockets: 1},
		Loaded:      record.Sample{PSS: 6_000_000, HWM: 8_000_000, Peak: 90_000_000, Sockets: 201},
		Idle:        record.Sample{PSS: 5_500_000, HWM: 8_000_000, Peak: 90_000_000, Sockets: 201},
	}
}

func TestARunInWhichAllConnectionsWereServedCounts(t *testing.T) {
	require.NoError(t, check(goodRun(), 100))
}

func TestARunInWhichAConnectionIsMissingDoesNotCount(t *testing.T) {
	for says, spoil := range map[string]func(*record.Run){
		"connections were made": func(r *record.Run) { r.Connections = 99 },
		"under load":            func(r *record.Run) { r.Loaded.Sockets = 199 },
		"after it":              func(r *record.Run) { r.Idle.Sockets = 199 },
		"less than one":         func(r *record.Run) { r.Drained = 59 },
		"in the end":            func(r *record.Run) { r.Alive = 99 },
		"Unanswered:1":          func(r *record.Run) { r.Errors.Unanswered = 1 },
	} {
		run := goodRun()
		spoil(&run)
		require.ErrorContains(t, check(run, 100), says)
	}
}

func TestTheCostOfAConnectionIsWhatItAddsToTheStart(t *testing.T) {
	require.Equal(t, "memory, a, 100 connections: VmHWM 8.0 MB (6.0 without connections, 20000 bytes for each); "+
		"VmPeak 90.0 MB (70.0 without); idle Pss 5.5 MB (5000 bytes for each)", describe(goodRun()))
}
