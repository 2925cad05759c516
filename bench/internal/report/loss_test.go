package report

import (
	"strings"
	"testing"

	"github.com/kourier-go/kourier/bench/internal/record"
	"github.com/stretchr/testify/require"
)

// idlers are runs of the load idle that differ in their RSS, in MB.
func idlers(server string, megabytes ...float64) []record.Run {
	var runs []record.Run
	for _, size := range megabytes {
		runs = append(runs, record.Run{Server: server, Load: record.LoadIdle, Connections: 1000, Alive: 1000,
			Idle: record.Sample{RSS: int64(size * mega)}})
	}
	return runs
}

func lossesOf(t *testing.T, runs ...[]record.Run) string {
	t.Helper()
	source := Source{Name: "one"}
	for _, each := range runs {
		source.Runs = append(source.Runs, each...)
	}
	host, _, err := split([]Source{source})
	require.NoError(t, err)
	var out strings.Builder
	host.writeLosses(&out)
	return out.String()
}

func TestRowsThatAreLostAreTold(t *testing.T) {
	text := lossesOf(t, idlers("kourier-fast", 12, 10, 11), idlers("kourier-handler", 15), idlers("b", 10.5, 9, 9.5), idlers("a", 8), idlers("c", 40))
	require.Contains(t, text, "kourier is not first")
	require.Contains(t, text, "| idle, 1,000 connections | RSS idle, MB | `a` 8.00, `b` 9.50 | `kourier-fast` 11.0 | 1.38× | apart |")
	text = lossesOf(t, idlers("kourier-fast", 12, 10, 11), idlers("b", 10.5, 9, 9.5))
	require.Contains(t, text, "| `b` 9.50 | `kourier-fast` 11.0 | 1.16× | overlap |")
}

func TestATieIsNotLost(t *testing.T) {
	text := lossesOf(t, idlers("kourier-fast", 10), idlers("b", 10))
	require.Contains(t, text, "kourier is first in every row.")
	require.NotContains(t, text, "| idle")
}

func TestEitherWayOfServingMakesKourierFirst(t *testing.T) {
	require.Contains(t, lossesOf(t, idlers("kourier-fast", 10), idlers("kourier-handler", 5), idlers("b", 7)), "kourier is first")
}

func TestHandlerIsComparedWithNetHTTP(t *testing.T) {
	require.Contains(t, lossesOf(t, idlers("kourier-handler", 10), idlers("kourier-fast", 1), idlers("nethttp", 9)),
		"`kourier-handler` is behind `nethttp` in these rows:")
	require.Contains(t, lossesOf(t, idlers("kourier-handler", 10), idlers("nethttp", 11)),
		"`kourier-handler` is ahead of `nethttp` in every row.")
	require.NotContains(t, lossesOf(t, idlers("kourier-handler", 10)), "nethttp")
}

func TestWhoseRunsDoNotCountIsNotCompared(t *testing.T) {
	failed := idlers("b", 1)
	failed[0].Errors.Body = 1
	text := lossesOf(t, idlers("kourier-fast", 10), failed)
	require.Contains(t, text, "kourier is first in every row.")
	require.Contains(t, text, "no run of theirs counts: `b` (idle, 1,000 connections).")
}
