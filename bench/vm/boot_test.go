package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// fakeQemu is found instead of qemu, and does what the script says. $console is the file of the console.
func fakeQemu(t *testing.T, script string) machine {
	folder := t.TempDir()
	const begin = "#!/bin/sh\nconsole=$(echo \"$*\" | sed 's/.*file:\\([^ ]*\\).*/\\1/')\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "qemu-system-x86_64"), []byte(begin+script), 0o755))
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	return machine{console: filepath.Join(folder, "console"), environment: []string{"SERVER=a", "CONNECTIONS=7"}}
}

// A serial line ends its lines with CR LF.
func TestTheRecordsOfAMachineAreReturned(t *testing.T) {
	m := fakeQemu(t, `printf '{"kind":"machine","kernel":"6.1"}\r\n{"kind":"run","server":"a","connections":7}\r\n'`)
	facts, run, err := m.measure(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, record.Machine{Kind: record.KindMachine, Kernel: "6.1"}, facts)
	require.Equal(t, record.Run{Kind: record.KindRun, Server: "a", Connections: 7}, run)
}

func TestTheFirstProcessIsToldWhatToMeasure(t *testing.T) {
	m := fakeQemu(t, `echo "$*" >"$console"; exit 1`)
	_, _, err := m.measure(t.Context(), time.Minute)
	require.ErrorContains(t, err, "panic=-1 SERVER=a CONNECTIONS=7 -serial")
}

func TestAMachineThatFailsIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ script, says string }{
		"it records nothing":              {`echo panicked >"$console"`, "panicked"},
		"it ends before the run":          {`echo '{"kind":"machine"}'; echo >"$console"`, "0 runs"},
		"it records a run without itself": {`echo '{"kind":"run"}'; echo >"$console"`, "not one machine and one run"},
		"it records half a line":          {`printf '{"kind":'; echo >"$console"`, "line 1"},
		"qemu refuses":                    {`echo no such processor >&2; echo >"$console"; exit 1`, "no such processor"},
		"it has no console":               {`exit 0`, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := fakeQemu(t, test.script).measure(t.Context(), time.Minute)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestAMachineThatDoesNotEndIsStopped(t *testing.T) {
	m := fakeQemu(t, `echo booting >"$console"; exec sleep 60`)
	begun := time.Now()
	_, _, err := m.measure(t.Context(), 100*time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begun), 30*time.Second)
}

func TestAnErrorShowsOnlyTheConsolesEnd(t *testing.T) {
	m := machine{console: filepath.Join(t.TempDir(), "console")}
	require.NoError(t, os.WriteFile(m.console, []byte("begin"+strings.Repeat("x", 2048)), 0o644))
	err := m.withConsole(os.ErrInvalid)
	require.ErrorIs(t, err, os.ErrInvalid)
	require.NotContains(t, err.Error(), "begin")
}

func TestVirtualizationIsAFlagOfTheProcessor(t *testing.T) {
	for text, want := range map[string]bool{
		"flags\t\t: fpu vmx sse\n":                 true,
		"model name\t: x\nflags\t\t: fpu svm\n":    true,
		"flags\t\t: fpu svm_lock sse\n":            false,
		"vmx flags\t: ept\nflags\t\t: fpu\n":       false,
		"model name\t: vmx\nflags\t\t: fpu sse2\n": false,
	} {
		require.Equal(t, want, virtualization.MatchString(text), text)
	}
}
