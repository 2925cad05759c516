package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/bench/internal/record"
)

func TestProcessesAreCountedWithTheirDescendants(t *testing.T) {
	root := procWith(t, map[string]string{
		"7/stat":         "7 (nginx: master) (x) S 1 7 7 0 -1 4194560 181 0 0 0 10 20 0 0 20 0 1 0 100\n",
		"7/status":       "Name:\tnginx\nVmPeak:\t    100 kB\nVmHWM:\t      30 kB\nVmRSS:\t      20 kB\nThreads:\t1\n",
		"7/smaps_rollup": "00400000-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  20 kB\nPss:    12 kB\nPss_Dirty: 1 kB\n",
		"8/stat":         "8 (nginx) S 7 7 7 0 -1 4194560 181 0 0 0 100 200 0 0 20 0 1 0 100\n",
		"8/status":       "VmPeak:\t    200 kB\nVmHWM:\t      40 kB\nVmRSS:\t      30 kB\n",
		"8/smaps_rollup": "Pss:    22 kB\n",
		"9/stat":         "9 (other) S 1 9 9 0 -1 4194560 181 0 0 0 1000 2000 0 0 20 0 1 0 100\n",
		"net/sockstat":   "sockets: used 25\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\nUDP: inuse 1 mem 9\n",
	})
	cpu, err := root.cpu(7)
	require.NoError(t, err)
	require.InDelta(t, 1.1, cpu.User, 1e-9)
	require.InDelta(t, 2.2, cpu.System, 1e-9)

	sample, err := root.sample(7)
	require.NoError(t, err)
	require.Equal(t, record.Sample{
		RSS: 50 << 10, PSS: 34 << 10, HWM: 70 << 10, Peak: 300 << 10, Sockets: 5, TCP: 3 * int64(os.Getpagesize()),
	}, sample)
}

func TestAProcessThatHasGoneIsAnError(t *testing.T) {
	root := procWith(t, nil)
	_, err := root.cpu(7)
	require.Error(t, err)
	_, err = root.sample(7)
	require.Error(t, err)
}
