package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// The whole kit, on the servers that need nothing but Go.
func TestSmokeProfileMeasuresEveryLoadOnEveryServer(t *testing.T) {
	if testing.Short() || runtime.NumCPU() < 2 {
		t.Skip("it takes half a minute and two cores")
	}
	out := filepath.Join(t.TempDir(), "report", "smoke.jsonl")
	set := settings{
		profile: "smoke", servers: "kourier-fast,nethttp", source: "..", bin: programs, out: out,
		serverCores: "0", loadCores: "1",
	}
	loads := []string{record.LoadMemory, record.LoadIdle, record.LoadOpen, record.LoadAttack, record.LoadUpload, record.LoadDownload, record.LoadPipelined}
	if _, err := exec.LookPath("wrk"); err == nil {
		loads = append(loads, record.LoadThroughput)
	}
	set.loads = strings.Join(loads, ",")
	require.NoError(t, run(t.Context(), set))
	require.FileExists(t, filepath.Join(filepath.Dir(out), "report.md"))
	require.NoFileExists(t, out+unfinished)

	file, err := os.Open(out)
	require.NoError(t, err)
	defer file.Close()
	machine, runs, err := record.Read(file)
	require.NoError(t, err)
	require.Equal(t, "smoke", machine.Profile)
	require.Equal(t, []int{0}, machine.ServerCores)
	require.NotEmpty(t, machine.CPU)
	require.NotEmpty(t, machine.Kernel)
	require.Contains(t, machine.Versions, "g++")

	measured := map[string]int{}
	for _, run := range runs {
		require.Empty(t, machine.Fault(run), "%+v", run)
		measured[run.Load]++
		require.Positive(t, run.Start.RSS)
		require.Positive(t, run.Loaded.HWM)
		require.GreaterOrEqual(t, run.Loaded.Peak, run.Loaded.HWM)
		require.Positive(t, run.Loaded.PSS)
		if run.Load == record.LoadIdle {
			continue
		}
		require.Positive(t, run.Requests)
		require.Positive(t, run.BytesPerS)
		if run.Load != record.LoadThroughput {
			require.Positive(t, run.Latency.P99)
		}
		require.Greater(t, run.Loaded.Sockets, run.Closed.Sockets)
		if run.Load == record.LoadAttack {
			require.Positive(t, run.Attack.Without.P99)
			require.Positive(t, run.Attack.Before.RSS)
		}
	}
	for _, load := range loads {
		require.GreaterOrEqual(t, measured[load], 2, load)
	}
}

func TestAServerThatDoesNotStartIsAnError(t *testing.T) {
	broken := server{name: "broken", program: "/bin/false"}
	_, err := startServer(t.Context(), broken, programs, []int{0}, 1, 1, 1)
	require.ErrorContains(t, err, "broken: ")
	require.ErrorContains(t, err, "the server has ended by itself")
}

func TestAFailedRunKeepsNothingElseFromBeingMeasured(t *testing.T) {
	var broken []server
	for _, name := range []string{"A", "B", "C"} {
		broken = append(broken, server{name: name, program: "/bin/false"})
	}
	b := bench{proc: "/proc", bin: programs, serverCores: []int{0}, loadCores: []int{0}, slowdown: 1}
	var out bytes.Buffer
	failed, err := measureAll(t.Context(), b, record.Machine{Kind: record.KindMachine}, broken, 3, []step{{load: record.LoadIdle}}, &out)
	require.NoError(t, err)
	var order strings.Builder
	for line := range strings.Lines(failed.Error()) {
		name, _, found := strings.Cut(line, " under "+record.LoadIdle)
		if found {
			order.WriteString(name)
		}
	}
	require.Equal(t, "ABC"+"BCA"+"CAB", order.String(), "each is the first once")
	_, runs, err := record.Read(&out)
	require.NoError(t, err)
	require.Empty(t, runs)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = measureAll(ctx, b, record.Machine{}, broken, 3, []step{{load: record.LoadIdle}}, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
}

func TestProgramsDoNotSeeWhatTheShellToldOtherRuntimes(t *testing.T) {
	t.Setenv("GOGC", "off")
	t.Setenv("TOKIO_WORKER_THREADS", "7")
	t.Setenv("GOGCX", "kept")
	var output bytes.Buffer
	command := exec.CommandContext(t.Context(), "env")
	command.Stdout = &output
	require.NoError(t, startOn(command, []int{0}))
	require.NoError(t, command.Wait())
	require.Contains(t, output.String(), "GOGCX=kept\n")
	require.NotContains(t, output.String(), "GOGC=")
	require.NotContains(t, output.String(), "TOKIO_")
}

func TestNamesThatAreNoneAreErrors(t *testing.T) {
	_, err := choose(servers, []string{"nethttp", "apache"})
	require.ErrorContains(t, err, `"apache"`)
	_, err = profileCalled("slow")
	require.ErrorContains(t, err, `"slow"`)
	_, err = cores("0,1000000")
	require.ErrorContains(t, err, `"1000000" is no core`)
	_, err = cores("")
	require.Error(t, err)
	_, err = choose(servers, []string{"nethttp", "nethttp"})
	require.ErrorContains(t, err, "twice")
	require.NoError(t, checkApart([]int{0, 2}, []int{1}))
	require.ErrorContains(t, checkApart([]int{0, 2}, []int{1, 2}), "twice")
	require.ErrorContains(t, checkApart([]int{0, 0}, []int{1}), "twice")
	_, err = pick(profiles[0].steps(100), []string{record.LoadIdle, "download2"})
	require.ErrorContains(t, err, `"download2"`)

	picked, err := pick(profiles[0].steps(100), []string{record.LoadUpload, record.LoadIdle})
	require.NoError(t, err)
	require.Len(t, picked, 2)
	require.Equal(t, record.LoadIdle, picked[0].load)
	chosen, err := choose(servers, []string{"nginx", "nethttp"})
	require.NoError(t, err)
	require.Equal(t, "nginx", chosen[0].name)
	require.Equal(t, "nethttp", chosen[1].name)
}

// On a machine that is emulated no timeout may end what is only slow.
func TestASlowMachineIsGivenMoreTime(t *testing.T) {
	for _, p := range profiles {
		require.Positive(t, p.slowdown, p.name)
	}
	chosen, err := choose(servers, []string{"nethttp"})
	require.NoError(t, err)
	arguments, err := chosen[0].arguments(start{slowdown: 60})
	require.NoError(t, err)
	require.Contains(t, arguments, "--request-timeout=1200")
	require.Contains(t, arguments, "--idle-timeout=3600")
	arguments = loaderArguments(step{}, 1, 60)
	require.Contains(t, arguments, "--connect-seconds=3600")
	require.Contains(t, arguments, "--answer-seconds=1200")
}
