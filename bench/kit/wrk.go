package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// wrkScript makes wrk send DEPTH requests at once, and print what it has counted as JSON.
//
//go:embed wrk.lua
var wrkScript string

// wrked is what wrk.lua prints.
type wrked struct {
	Requests      int64          `json:"requests"`
	BytesReceived int64          `json:"bytes_received"`
	Seconds       float64        `json:"seconds"`
	Errors        record.Errors  `json:"errors"`
	Latency       record.Latency `json:"latency_us"`
}

// runWrk puts load on the server at port until the step's seconds are over. Its files go into folder.
func runWrk(ctx context.Context, s step, port int, cores []int, folder string, seconds int) (wrked, error) {
	script := filepath.Join(folder, "wrk.lua")
	if err := os.WriteFile(script, []byte(wrkScript), 0o644); err != nil {
		return wrked{}, err
	}
	command := exec.CommandContext(ctx, "wrk", "--timeout", "20s", "-s", script,
		"-t", strconv.Itoa(len(cores)), "-c", strconv.Itoa(s.connections), "-d", strconv.Itoa(seconds),
		fmt.Sprintf("http://127.0.0.1:%d/hello", port), strconv.Itoa(s.depth))
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := startOn(command, cores); err != nil {
		return wrked{}, err
	}
	if err := command.Wait(); err != nil {
		return wrked{}, fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, output.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(output.String()), "\n")
	var result wrked
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil {
		return wrked{}, fmt.Errorf("wrk: %w in %q", err, output.Bytes())
	}
	return result, nil
}
