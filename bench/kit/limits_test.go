package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kourier-go/kourier/bench/internal/record"
	"github.com/stretchr/testify/require"
)

// procWith makes a proc file system that holds these files.
func procWith(t *testing.T, files map[string]string) proc {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return proc(root)
}

func limitFiles() map[string]string {
	return map[string]string{
		"sys/fs/nr_open":                     "1048576\n",
		"sys/fs/file-max":                    "9223372036854775807\n",
		"sys/net/ipv4/tcp_mem":               "287898\t383867\t575796\n",
		"sys/net/core/somaxconn":             "4096\n",
		"sys/net/ipv4/ip_local_port_range":   "32768\t60999\n",
		"sys/net/netfilter/nf_conntrack_max": "262144\n",
		"meminfo":                            "MemTotal:       24684084 kB\nMemAvailable:   21722836 kB\n",
	}
}

func TestLimitsAreRead(t *testing.T) {
	limits, err := readLimits(procWith(t, limitFiles()))
	require.NoError(t, err)
	require.Positive(t, limits.OpenFiles)
	limits.OpenFiles = 0
	require.Equal(t, Limits{
		OpenFilesMax:  1048576,
		SystemFiles:   1<<31 - 1,
		Ports:         28232,
		TCPPages:      383867,
		Backlog:       4096,
		Tracked:       262144,
		MemoryFreeKiB: 21722836,
	}, limits)
}

func TestALimitThatTheKernelLacksIsNone(t *testing.T) {
	files := limitFiles()
	delete(files, "sys/net/netfilter/nf_conntrack_max")
	limits, err := readLimits(procWith(t, files))
	require.NoError(t, err)
	require.Zero(t, limits.Tracked)
	limits.OpenFiles = 1 << 20
	require.Empty(t, limits.Shortages(19_000))
}

func TestLimitsThatCannotBeReadAreErrors(t *testing.T) {
	for _, c := range []struct{ file, text, says string }{
		{"sys/net/ipv4/tcp_mem", "1\n", "tcp_mem"},
		{"sys/net/core/somaxconn", "many\n", "somaxconn"},
		{"sys/net/ipv4/ip_local_port_range", "32768\n", "ip_local_port_range"},
	} {
		files := limitFiles()
		files[c.file] = c.text
		_, err := readLimits(procWith(t, files))
		require.ErrorContains(t, err, c.says)
	}
}

func TestShortagesSayWhatToSet(t *testing.T) {
	ample := Limits{
		OpenFiles: 1 << 20, OpenFilesMax: 1 << 20, SystemFiles: 1 << 22, Ports: 28232, TCPPages: 1 << 20, Backlog: 4096,
		Tracked: 1 << 20, MemoryFreeKiB: 1 << 24,
	}
	require.Empty(t, ample.Shortages(published))
	for _, c := range []struct {
		what   string
		change func(*Limits)
		set    string
	}{
		{"ulimit -n", func(l *Limits) { l.OpenFiles = 20000 }, "ulimit -Hn 500200, in the shell that starts the kit"},
		{"ulimit -n", func(l *Limits) { l.OpenFiles, l.OpenFilesMax = 20000, 20000 },
			"sysctl -w fs.nr_open=500200 && ulimit -Hn 500200, in the shell that starts the kit"},
		{"fs.file-max", func(l *Limits) { l.SystemFiles = 1000 }, "sysctl -w fs.file-max=1000400"},
		{"the number of ports in net.ipv4.ip_local_port_range", func(l *Limits) { l.Ports = 5000 },
			"sysctl -w net.ipv4.ip_local_port_range='10000 65535'"},
		{"the second value of net.ipv4.tcp_mem", func(l *Limits) { l.TCPPages = 383867 },
			"sysctl -w net.ipv4.tcp_mem='500000 1000000 2000000'"},
		{"net.core.somaxconn", func(l *Limits) { l.Backlog = 128 }, "sysctl -w net.core.somaxconn=4096"},
		{"net.netfilter.nf_conntrack_max", func(l *Limits) { l.Tracked = 262144 },
			"sysctl -w net.netfilter.nf_conntrack_max=500000"},
		{"MemAvailable, in KiB, for the kernel's side alone,", func(l *Limits) { l.MemoryFreeKiB = 1 << 20 }, "more memory"},
	} {
		limits := ample
		c.change(&limits)
		short := limits.Shortages(published)
		require.Len(t, short, 1, c.what)
		require.Equal(t, c.what, short[0].What)
		require.Equal(t, c.set, short[0].Set)
	}
}

func TestConnectionsMaxIsWhatTheTightestLimitAllows(t *testing.T) {
	limits := Limits{OpenFiles: 20000, TCPPages: 383867, Ports: 28232, Backlog: 4096}
	require.Equal(t, 19_000, limits.ConnectionsMax(published))
	require.Equal(t, 5_000, limits.ConnectionsMax(5_000))
	limits.TCPPages = 20_000
	require.Equal(t, 10_000, limits.ConnectionsMax(published))
}

func TestStepsStayWithinWhatTheMachineHolds(t *testing.T) {
	for _, p := range profiles {
		for _, most := range []int{1000, 19_000, published} {
			seen := map[step]bool{}
			for _, s := range p.steps(most) {
				require.False(t, seen[s], "%s has %+v twice", p.name, s)
				seen[s] = true
				if s.load == record.LoadMemory || s.load == record.LoadIdle {
					require.LessOrEqual(t, s.connections, most)
				}
			}
		}
	}
	require.Equal(t, []int{1000, 5000, 12_000}, reachable([]int{1000, 5000, 19_000, published}, 12_000))
}
