package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// clockTicks is USER_HZ, the unit of times in /proc/PID/stat: 100 a second on every Linux that Go runs on.
const clockTicks = 100

// A proc reads what the kernel tells of processes. It is the folder of the proc file system.
type proc string

// tree returns pid and the processes that it is the ancestor of.
func (p proc) tree(pid int) ([]int, error) {
	stats, err := filepath.Glob(filepath.Join(string(p), "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		stat, err := readStat(path)
		if err != nil {
			continue // it has ended
		}
		children[stat.parent] = append(children[stat.parent], stat.pid)
	}
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids, nil
}

type stat struct {
	pid, parent  int
	user, system float64 // seconds
}

// readStat reads /proc/PID/stat. The name in it may hold blanks and parentheses.
func readStat(path string) (stat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	end := strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 13 {
		return stat{}, fmt.Errorf("%s: %q is not the stat of a process", path, text)
	}
	var numbers [4]int
	for i, text := range []string{strings.Fields(string(text))[0], fields[1], fields[11], fields[12]} {
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return stat{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return stat{
		pid:    numbers[0],
		parent: numbers[1],
		user:   float64(numbers[2]) / clockTicks,
		system: float64(numbers[3]) / clockTicks,
	}, nil
}

// cpu returns the time that pid and its descendants have used.
func (p proc) cpu(pid int) (record.CPU, error) {
	var sum record.CPU
	pids, err := p.tree(pid)
	if err != nil {
		return sum, err
	}
	for _, each := range pids {
		stat, err := readStat(p.path(each, "stat"))
		if err != nil {
			return sum, err
		}
		sum.User += stat.user
		sum.System += stat.system
	}
	return sum, nil
}

// sample returns the memory of pid and its descendants, and that of the machine's sockets.
func (p proc) sample(pid int) (record.Sample, error) {
	var sum record.Sample
	pids, err := p.tree(pid)
	if err != nil {
		return sum, err
	}
	for _, each := range pids {
		status, err := readKilobytes(p.path(each, "status"))
		if err != nil {
			return sum, err
		}
		rollup, err := readKilobytes(p.path(each, "smaps_rollup"))
		if err != nil {
			return sum, err
		}
		sum.RSS += status["VmRSS"]
		sum.HWM += status["VmHWM"]
		sum.Peak += status["VmPeak"]
		sum.PSS += rollup["Pss"]
	}
	sum.Sockets, sum.TCP, err = p.sockstat()
	return sum, err
}

func (p proc) path(pid int, name string) string {
	return filepath.Join(string(p), strconv.Itoa(pid), name)
}

// readKilobytes returns the lines "Name:  123 kB" of a file, in bytes.
func readKilobytes(path string) (map[string]int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			values[name] = n << 10
		}
	}
	return values, nil
}

// sockstat returns the number of TCP sockets in use and the bytes of TCP's buffers, of the whole machine:
//
//	TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1
func (p proc) sockstat() (sockets, bytes int64, err error) {
	text, err := os.ReadFile(filepath.Join(string(p), "net", "sockstat"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			n, err := strconv.ParseInt(fields[i+1], 10, 64)
			switch {
			case err != nil:
				return 0, 0, fmt.Errorf("sockstat: %w", err)
			case fields[i] == "inuse":
				sockets = n
			case fields[i] == "mem":
				bytes = n * int64(os.Getpagesize())
			}
		}
		return sockets, bytes, nil
	}
	return 0, 0, errors.New("sockstat has no line for TCP")
}
