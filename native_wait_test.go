//go:build linux && cgo && !kourier_portable

package kourier

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eventDescriptor returns an epoll descriptor, and a function that has it have
// an event until the function that this one returns is called.
func eventDescriptor(t *testing.T) (fd int, begin func() (end func())) {
	t.Helper()
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	require.NoError(t, err)
	var ends [2]int
	require.NoError(t, syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	t.Cleanup(func() {
		for _, each := range append(ends[:], fd) {
			require.NoError(t, syscall.Close(each))
		}
	})
	require.NoError(t, syscall.EpollCtl(fd, syscall.EPOLL_CTL_ADD, ends[0], &syscall.EpollEvent{Events: syscall.EPOLLIN}))
	octet := make([]byte, 1)
	return fd, func() func() {
		_, err := syscall.Write(ends[1], octet)
		require.NoError(t, err)
		return func() {
			_, err := syscall.Read(ends[0], octet)
			require.NoError(t, err)
		}
	}
}

func TestAWaitEndsWithAnEvent(t *testing.T) {
	t.Parallel()
	fd, begin := eventDescriptor(t)
	var w eventWait
	defer w.close()
	for i := range 1000 {
		begun := make(chan func())
		go func() { begun <- begin() }()
		w.wait(fd, -1)
		require.True(t, hasEvents(fd, 0))
		end := <-begun
		if i%2 == 0 {
			w.wait(fd, -1) // it is there still
		}
		end() // what Go's poller has been told is out of date now
		require.False(t, hasEvents(fd, 0))
	}
}

func TestAWaitEndsInTime(t *testing.T) {
	t.Parallel()
	fd, begin := eventDescriptor(t)
	const limit = 2 * time.Millisecond
	var w eventWait
	defer w.close()
	for range 3 {
		start := time.Now()
		w.wait(fd, limit)
		require.GreaterOrEqual(t, time.Since(start), limit)
	}
	begin()
	w.wait(fd, time.Hour)
	w.wait(fd, -1) // the limit is that of one wait
}

// A worker waits also where there is no descriptor for Go's poller.
func TestAWaitNeedsNoDescriptor(t *testing.T) {
	const name = "KOURIER_TEST_WITHOUT_DESCRIPTORS"
	if os.Getenv(name) == "" { // it needs a process of its own
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		command.Env = append(os.Environ(), name+"=1")
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		require.Contains(t, string(output), "waited")
		return
	}
	fd, begin := eventDescriptor(t)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := syscall.Rlimit{Cur: 3, Max: limit.Max} // three are open
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	var w eventWait
	require.ErrorIs(t, w.open(fd), syscall.EMFILE)
	start := time.Now()
	w.wait(fd, 2*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(start), 2*time.Millisecond)
	end := begin()
	w.wait(fd, -1)
	require.Nil(t, w.file)
	end()

	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	w.wait(fd, time.Millisecond)
	require.NotNil(t, w.file, "there is one again")
	w.close()
	fmt.Println("waited")
}
