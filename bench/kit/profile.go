package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// A step is one load that each server gets.
type step struct {
	load           string
	mode           string // of the loader; "" for wrk
	connections    int
	depth          int
	rate           int // requests a second, for open loads
	seconds        int
	size           int // bytes of bodies
	slowHeads      int
	slowReaders    int
	slowIntervalMS int
}

func (s step) attacked() bool { return s.slowHeads+s.slowReaders > 0 }

// isAboutMemory says whether it matters what a server gives back after the load, so that it is given time to.
func (s step) isAboutMemory() bool {
	return s.load == record.LoadMemory || s.load == record.LoadIdle || s.load == record.LoadPipelined || s.load == record.LoadAttack
}

// needsMore says whether a server must answer more than /hello.
func (s step) needsMore() bool {
	return s.load == record.LoadUpload || s.load == record.LoadDownload || s.slowReaders > 0
}

// A crowd is a number of connections and for how many seconds they ask: long enough for the slowest server to answer each
// of them four times.
type crowd struct{ connections, seconds int }

// A profile is how much is measured.
type profile struct {
	name           string
	folder         string // of the report, in that of the module
	rounds         int
	settle         time.Duration // before memory is looked at after a load, for servers that give it back late
	warmSeconds    int           // of wrk before what wrk measures
	memory         []crowd
	idle           []int    // numbers of connections; none: those of memory, idle at the end, stand for it
	throughput     [][2]int // connections and depth
	seconds        int      // of all other loads
	rate           int
	slowHeads      int
	slowReaders    int // each takes the kernel up to 3.6 MB on the loopback, so many would use up net.ipv4.tcp_mem
	slowIntervalMS int
	pipelined      int // connections
	pipelinedDepth int
	size           int

	// slowdown is how many times as long as on a real machine everything may take: the servers' timeouts, and what the
	// kit and the loader wait for.
	slowdown int
}

// published is the number of connections of the published benchmark.
const published = 500_000

var profiles = []profile{
	{
		name:           "smoke", // to see that the kit works; its figures say nothing
		folder:         "../build/bench-smoke",
		rounds:         1,
		settle:         100 * time.Millisecond,
		memory:         []crowd{{50, 1}, {100, 1}},
		idle:           []int{100},
		throughput:     [][2]int{{10, 16}},
		seconds:        1,
		rate:           200,
		slowHeads:      5,
		slowReaders:    5,
		slowIntervalMS: 50,
		pipelined:      10,
		pipelinedDepth: 16,
		size:           1 << 20,
		slowdown:       1,
	},
	{
		name:           "quick",
		folder:         "report",
		rounds:         3,
		settle:         300 * time.Millisecond,
		memory:         []crowd{{1000, 1}, {19_000, 5}},
		throughput:     [][2]int{{64, 1}, {64, 256}, {1000, 1}},
		seconds:        1,
		rate:           5000,
		slowHeads:      500,
		slowReaders:    50,
		slowIntervalMS: 100,
		pipelined:      250,
		pipelinedDepth: 256,
		size:           4 << 20,
		slowdown:       1,
	},
	{
		name:        "full",
		folder:      "report",
		rounds:      3,
		settle:      2 * time.Second,
		warmSeconds: 1,
		memory: []crowd{
			{1000, 5}, {5000, 5}, {19_000, 10}, {50_000, 20}, {100_000, 30}, {200_000, 60}, {published, 120},
		},
		idle: []int{1000, 19_000, 100_000, published},
		throughput: [][2]int{
			{64, 1}, {512, 1}, {1000, 1}, {64, 16}, {512, 16}, {1000, 16}, {64, 256}, {512, 256}, {1000, 256},
		},
		seconds:        3,
		rate:           10_000,
		slowHeads:      1000,
		slowReaders:    100,
		slowIntervalMS: 200,
		pipelined:      1000,
		pipelinedDepth: 256,
		size:           16 << 20,
		slowdown:       1,
	},
	{
		name:     record.ProfileVM, // of ../vm, whose processor may be emulated
		folder:   "report",
		rounds:   1,
		settle:   5 * time.Second,
		memory:   []crowd{{published, 120}},
		idle:     []int{published},
		seconds:  60,
		size:     1 << 20,
		slowdown: 60,
	},
}

func profileCalled(name string) (profile, error) {
	at := slices.IndexFunc(profiles, func(p profile) bool { return p.name == name })
	if at < 0 {
		return profile{}, fmt.Errorf("no profile is called %q", name)
	}
	return profiles[at], nil
}

// bodyConnections is the connections of uploads and downloads.
const bodyConnections = 8

// openConnections is the connections that open loads choose from.
const openConnections = 256

// steps returns what each server gets, in order, on a machine that holds most connections. Numbers beyond it are
// replaced by it.
func (p profile) steps(most int) []step {
	var steps []step
	for i, n := range reachable(p.crowds(), most) {
		steps = append(steps, step{load: record.LoadMemory, mode: "memory", connections: n, depth: 1, seconds: p.memory[i].seconds})
	}
	for _, n := range reachable(p.idle, most) {
		steps = append(steps, step{load: record.LoadIdle, mode: "idle", connections: n, depth: 1, seconds: 1})
	}
	for _, each := range p.throughput {
		steps = append(steps, step{load: record.LoadThroughput, connections: each[0], depth: each[1], seconds: p.seconds})
	}
	open := step{load: record.LoadOpen, mode: "open", connections: openConnections, depth: 1, rate: p.rate, seconds: p.seconds}
	attack := open
	attack.load, attack.slowHeads, attack.slowReaders = record.LoadAttack, p.slowHeads, p.slowReaders
	attack.slowIntervalMS = p.slowIntervalMS
	steps = append(steps, open, attack)
	for _, load := range []string{record.LoadUpload, record.LoadDownload} {
		steps = append(steps, step{load: load, mode: load, connections: bodyConnections, depth: 1, seconds: p.seconds})
	}
	steps = append(steps, step{
		load: record.LoadPipelined, mode: "memory", connections: p.pipelined, depth: p.pipelinedDepth, seconds: p.seconds,
	})
	for i := range steps {
		steps[i].size = p.size
	}
	return steps
}

// connectionsMax is the most connections that the profile would make.
func (p profile) connectionsMax() int {
	return slices.Max(slices.Concat(p.crowds(), p.idle))
}

// crowds are the numbers of connections of the load memory.
func (p profile) crowds() []int {
	var counts []int
	for _, each := range p.memory {
		counts = append(counts, each.connections)
	}
	return counts
}

// reachable returns the counts that do not exceed most and, if any does, most itself.
func reachable(counts []int, most int) []int {
	var kept []int
	for _, n := range counts {
		kept = append(kept, min(n, most))
	}
	return slices.Compact(kept)
}
