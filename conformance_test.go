//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestConformance runs the shared corpus of requests against examples/echo: at
// once, byte by byte and cut in two, judged by what the RFCs require, and once
// more by what the strictest conforming server does. What differs there is
// listed in docs/conformance.md with its reason.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute of waiting")
	}
	runner := conformanceRunner(t)
	address := startExample(t, "echo")
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	variants := []struct {
		name string
		// listed allows the differences that docs/conformance.md lists.
		listed    bool
		arguments []string
	}{
		{"whole", false, nil},
		{"bytewise", false, []string{"--bytewise"}},
		{"split", false, []string{"--split", "8"}},
		{"strict", true, []string{"--strict"}},
	}
	for _, variant := range variants {
		t.Run(variant.name, func(t *testing.T) {
			t.Parallel()
			result := runConformance(t, runner, append([]string{host, port}, variant.arguments...))
			t.Logf("%d of %d passed (%s)", result.Passed, result.Total, variant.name)
			require.NotZero(t, result.Total)
			require.True(t, result.Alive, "the server no longer answers")
			listed := ""
			if variant.listed {
				text, err := os.ReadFile("docs/conformance.md")
				if err != nil {
					t.Error(err) // and the differences below
				}
				listed = string(text)
			}
			for _, failure := range result.failures() {
				if !strings.Contains(listed, "`"+failure.ID+"`") {
					t.Errorf("%s: %s, answered %v", failure.ID, strings.Join(failure.Why, "; "), failure.Statuses)
				}
			}
		})
	}
}

// conformanceRunner finds run_cases.py, or skips; continuous integration has no excuse.
func conformanceRunner(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("KOURIER_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "shared")
	}
	runner := filepath.Join(shared, "conformance", "run_cases.py")
	_, err := os.Stat(runner)
	if errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") != "" {
			t.Fatalf("the conformance cases are missing: %s (KOURIER_SHARED names their folder)", runner)
		}
		t.Skipf("no conformance cases at %s: set KOURIER_SHARED to run them", runner)
	}
	require.NoError(t, err)
	return runner
}

type conformanceResult struct {
	Passed int  `json:"passed"`
	Total  int  `json:"total"`
	Alive  bool `json:"alive"`
	Cases  []struct {
		conformanceCase
		OK bool `json:"ok"`
	} `json:"cases"`
}

type conformanceCase struct {
	ID       string   `json:"id"`
	Why      []string `json:"why"`
	Statuses []int    `json:"statuses"`
}

// failures returns one case for each id that failed, whatever its offset.
func (r *conformanceResult) failures() []conformanceCase {
	var failed []conformanceCase
	for _, c := range r.Cases {
		known := slices.ContainsFunc(failed, func(f conformanceCase) bool { return f.ID == c.ID })
		if !c.OK && !known {
			failed = append(failed, c.conformanceCase)
		}
	}
	return failed
}

func runConformance(t *testing.T, runner string, arguments []string) *conformanceResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "result.json")
	arguments = append([]string{runner, "--json", file}, arguments...)
	output, err := exec.CommandContext(ctx, "python3", arguments...).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("%s: %v\n%s", runner, err, output)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err, "%s", output)
	result := new(conformanceResult)
	require.NoError(t, json.Unmarshal(text, result))
	return result
}

// startExample builds examples/name, starts it on a free port and returns the
// address that it prints. It must end in order on SIGTERM when the test is over.
func startExample(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	output, err := exec.Command("go", "build", "-o", program, "./examples/"+name).CombinedOutput()
	require.NoError(t, err, "%s", output)

	server := exec.Command(program, append([]string{"-a", "127.0.0.1", "-p", "0"}, arguments...)...)
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		deadline := time.AfterFunc(20*time.Second, func() { _ = server.Process.Kill() })
		defer deadline.Stop()
		_ = server.Process.Signal(syscall.SIGTERM)
		require.NoError(t, server.Wait(), "examples/%s must end in order on SIGTERM", name)
	})

	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "examples/%s printed no address", name)
	words := strings.Fields(lines.Text())
	require.NotEmpty(t, words, fmt.Sprintf("examples/%s printed an empty line", name))
	return words[len(words)-1]
}
