package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program that noprobe starts here is this test, again.
func TestKeepAliveIsTheOneOptionThatIsNotSet(t *testing.T) {
	if os.Getenv("UNDER_NOPROBE") != "" {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		require.NoError(t, err)
		for option, want := range map[int]int{syscall.SO_KEEPALIVE: 0, syscall.SO_REUSEADDR: 1} {
			require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, option, 1))
			value, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, option)
			require.NoError(t, err)
			require.Equal(t, want, value)
		}
		return
	}
	program := filepath.Join(t.TempDir(), "noprobe")
	text, err := exec.Command("g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-o", program, "noprobe/main.cpp").CombinedOutput()
	require.NoError(t, err, "%s", text)
	again := exec.Command(program, os.Args[0], "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), "UNDER_NOPROBE=1")
	text, err = again.CombinedOutput()
	require.NoError(t, err, "%s", text)
}
