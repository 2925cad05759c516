package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What a connection over the loopback needs, which has two ends on this machine.
const (
	filesBeside         = 200  // that server and loader have open beside their connections, each
	connectionsAnSource = 5000 // the loader spreads its connections over so many for each source address
	pagesAConnection    = 2    // of TCP's memory, under load: one at each end
	connectingMax       = 256  // connections that the loader makes at once, and that must fit the backlog
	bytesAConnection    = 4096 // of kernel memory: two sockets, two files, two entries of epoll
)

// Limits are those of the machine that decide how many connections it can hold. 0 stands for none.
type Limits struct {
	OpenFiles     int // RLIMIT_NOFILE, hard: what the kit may raise its own to
	OpenFilesMax  int // fs.nr_open: what root may raise that to
	SystemFiles   int // fs.file-max, all processes together
	Ports         int // in net.ipv4.ip_local_port_range
	TCPPages      int // net.ipv4.tcp_mem, the second value: from here on TCP saves memory
	Backlog       int // net.core.somaxconn
	Tracked       int // net.netfilter.nf_conntrack_max, where connections are tracked
	MemoryFreeKiB int // MemAvailable
}

// readLimits reads the limits from a proc file system and from this process.
func readLimits(root proc) (Limits, error) {
	var limits Limits
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return limits, err
	}
	limits.OpenFiles = int(min(files.Max, 1<<31-1))
	for _, each := range []struct {
		path  string
		place int // of the value in the line
		to    *int
	}{
		{"sys/fs/nr_open", 0, &limits.OpenFilesMax},
		{"sys/fs/file-max", 0, &limits.SystemFiles},
		{"sys/net/ipv4/tcp_mem", 1, &limits.TCPPages},
		{"sys/net/core/somaxconn", 0, &limits.Backlog},
		{"sys/net/netfilter/nf_conntrack_max", 0, &limits.Tracked},
	} {
		fields, err := readFields(filepath.Join(string(root), each.path))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel has no such limit
		}
		if err != nil {
			return limits, err
		}
		if *each.to, err = number(fields, each.place); err != nil {
			return limits, fmt.Errorf("%s: %w", each.path, err)
		}
	}
	ports, err := readFields(filepath.Join(string(root), "sys/net/ipv4/ip_local_port_range"))
	if err != nil {
		return limits, err
	}
	first, errFirst := number(ports, 0)
	last, errLast := number(ports, 1)
	if err := errors.Join(errFirst, errLast); err != nil {
		return limits, fmt.Errorf("ip_local_port_range: %w", err)
	}
	limits.Ports = last - first + 1
	memory, err := readKilobytes(filepath.Join(string(root), "meminfo"))
	limits.MemoryFreeKiB = int(memory["MemAvailable"] >> 10)
	return limits, err
}

func readFields(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	return strings.Fields(string(text)), err
}

// number reads one of the fields. Limits that are larger than can matter are cut.
func number(fields []string, place int) (int, error) {
	if place >= len(fields) {
		return 0, fmt.Errorf("%q has no field %d", fields, place)
	}
	n, err := strconv.ParseUint(fields[place], 10, 64)
	return int(min(n, 1<<31-1)), err
}

// A Shortage is a limit that is too low for a number of connections.
type Shortage struct {
	What string // the limit's name
	Have int
	Need int
	Set  string // what raises it, as commands for root
}

func (s Shortage) String() string {
	return fmt.Sprintf("%s is %d and must be %d: %s", s.What, s.Have, s.Need, s.Set)
}

// Shortages returns what keeps the machine from holding a number of connections.
func (l Limits) Shortages(connections int) []Shortage {
	var short []Shortage
	require := func(what string, have, need int, set string) {
		if have != 0 && have < need {
			short = append(short, Shortage{what, have, need, set})
		}
	}
	files := connections + filesBeside
	raise := fmt.Sprintf("ulimit -Hn %d, in the shell that starts the kit", files)
	if l.OpenFilesMax != 0 && l.OpenFilesMax < files {
		raise = fmt.Sprintf("sysctl -w fs.nr_open=%d && ", files) + raise
	}
	require("ulimit -n", l.OpenFiles, files, raise)
	require("fs.file-max", l.SystemFiles, 2*files, fmt.Sprintf("sysctl -w fs.file-max=%d", 2*files))
	ports := min(connections, connectionsAnSource) + filesBeside
	require("the number of ports in net.ipv4.ip_local_port_range", l.Ports, ports,
		"sysctl -w net.ipv4.ip_local_port_range='10000 65535'")
	pages := pagesAConnection * connections
	require("the second value of net.ipv4.tcp_mem", l.TCPPages, pages,
		fmt.Sprintf("sysctl -w net.ipv4.tcp_mem='%d %d %d'", pages/2, pages, 2*pages))
	require("net.core.somaxconn", l.Backlog, connectingMax, "sysctl -w net.core.somaxconn=4096")
	require("net.netfilter.nf_conntrack_max", l.Tracked, connections,
		fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", connections))
	require("MemAvailable, in KiB, for the kernel's side alone,", l.MemoryFreeKiB, connections*bytesAConnection>>10,
		"more memory")
	return short
}

// ConnectionsMax returns the most connections that the machine can hold, up to most, in steps of a thousand.
func (l Limits) ConnectionsMax(most int) int {
	for n := most; n > 1000; n -= 1000 {
		if len(l.Shortages(n)) == 0 {
			return n
		}
	}
	return 1000
}

// Map is the limits by name, for the record.
func (l Limits) Map() map[string]string {
	named := map[string]string{}
	for name, value := range map[string]int{
		"ulimit -Hn":            l.OpenFiles,
		"fs.nr_open":            l.OpenFilesMax,
		"fs.file-max":           l.SystemFiles,
		"local ports":           l.Ports,
		"tcp_mem, second value": l.TCPPages,
		"somaxconn":             l.Backlog,
		"nf_conntrack_max":      l.Tracked,
		"MemAvailable at start": l.MemoryFreeKiB,
	} {
		if value != 0 {
			named[name] = strconv.Itoa(value)
		}
	}
	return named
}

// raiseOpenFiles lets this process, and those that it starts, open as many files as they may.
func raiseOpenFiles() error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	files.Cur = files.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
}
