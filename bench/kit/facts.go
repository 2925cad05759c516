package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// facts describes the machine and what is installed on it. What cannot be found out is left empty.
func facts(ctx context.Context, root proc, source string, limits Limits, profile string, serverCores, loadCores []int) record.Machine {
	memory, _ := readKilobytes(filepath.Join(string(root), "meminfo"))
	return record.Machine{
		Kind:        record.KindMachine,
		Time:        time.Now().UTC().Format(time.RFC3339),
		Profile:     profile,
		Arguments:   os.Args[1:],
		CPU:         firstValue(filepath.Join(string(root), "cpuinfo"), "model name", ":"),
		Cores:       runtime.NumCPU(),
		ServerCores: serverCores,
		LoadCores:   loadCores,
		MemoryBytes: memory["MemTotal"],
		Kernel:      firstLine(filepath.Join(string(root), "sys/kernel/osrelease")),
		System:      strings.Trim(firstValue("/etc/os-release", "PRETTY_NAME", "="), `"`),
		LoadAverage: firstLine(filepath.Join(string(root), "loadavg")),
		Versions:    versions(ctx, source),
		Limits:      limits.Map(),
	}
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// firstValue returns what follows the separator in the first line that begins with name.
func firstValue(path, name, separator string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		before, after, found := strings.Cut(line, separator)
		if found && strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return ""
}

// kourierVersion is git describe --dirty, but for the reports that the kit itself writes.
const kourierVersion = `version=$(git describe --always) || exit
git diff --quiet HEAD -- :/ ':(top,exclude)bench/report' && echo "$version" || echo "$version-dirty"`

// versions returns those of the programs that build or are measured, by name; those that are missing are left out.
// source is the folder of the module.
func versions(ctx context.Context, source string) map[string]string {
	found := map[string]string{"go": runtime.Version()}
	module := func(path string) []string { return []string{"go", "list", "-m", "-f", "{{.Version}}", path} }
	for name, command := range map[string][]string{
		"g++":     {"g++", "--version"},
		"rustc":   {"rustc", "--version"},
		"nginx":   {"/usr/sbin/nginx", "-v"},
		"hyper":   {"dpkg-query", "-W", "-f", "${Version}", "librust-hyper-dev"},
		"wrk":     {"dpkg-query", "-W", "-f", "${Version}", "wrk"},
		"kourier": {"sh", "-c", kourierVersion},

		"fasthttp": module("github.com/valyala/fasthttp"),
		"nbio":     module("github.com/lesismal/nbio"),
	} {
		asked := exec.CommandContext(ctx, command[0], command[1:]...)
		asked.Dir = source
		output, err := asked.CombinedOutput()
		if line, _, _ := strings.Cut(string(output), "\n"); err == nil && line != "" {
			found[name] = line
		}
	}
	return found
}
