package report

import (
	"math"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// A figure is something that runs are compared by.
type figure struct {
	name  string // with its unit
	order order
	of    func(record.Run) float64 // NaN if the run does not know it
}

// An order says which of two figures is the better one.
type order int

const (
	unranked order = iota
	lessIsBetter
	moreIsBetter
)

// beats says whether a is better than b.
func (o order) beats(a, b float64) bool {
	return o == lessIsBetter && a < b || o == moreIsBetter && a > b
}

const mega = 1e6

// Figures of memory. MB are 10^6 bytes.
var (
	hwm = figure{"VmHWM, MB", lessIsBetter, func(r record.Run) float64 {
		return float64(r.Loaded.HWM) / mega
	}}
	emptyRSS = figure{"RSS without connections, MB", lessIsBetter, func(r record.Run) float64 {
		return float64(r.Start.RSS) / mega
	}}
	peak = figure{"VmPeak, MB", lessIsBetter, func(r record.Run) float64 {
		return float64(r.Loaded.Peak) / mega
	}}
	peakGrowth = figure{"VmPeak above that without connections, MB", lessIsBetter, func(r record.Run) float64 {
		return float64(r.Loaded.Peak-r.Start.Peak) / mega
	}}
	loadedPerConnection = figure{"VmHWM, bytes a connection", unranked, func(r record.Run) float64 {
		return float64(r.Loaded.HWM-r.Start.RSS) / float64(r.Connections)
	}}
	idleRSS = figure{"RSS idle, MB", lessIsBetter, func(r record.Run) float64 {
		return float64(r.Idle.RSS) / mega
	}}
	idlePerConnection = figure{"RSS idle, bytes a connection", unranked, func(r record.Run) float64 {
		return float64(r.Idle.RSS-r.Start.RSS) / float64(r.Connections)
	}}
	closedRSS = figure{"RSS afterwards, MB", lessIsBetter, func(r record.Run) float64 {
		return float64(r.Closed.RSS) / mega
	}}
)

// Figures of speed.
var (
	throughput = figure{"requests/s", moreIsBetter, func(r record.Run) float64 {
		return known(float64(r.Requests) / r.Seconds)
	}}
	cpu = figure{"CPU, µs a request", lessIsBetter, func(r record.Run) float64 {
		return known(r.CPUPerMillion().Total())
	}}
	busy = figure{"CPU, % of a core", unranked, func(r record.Run) float64 {
		return known(100 * r.CPU.Total() / r.Seconds)
	}}
	bodies = figure{"MB/s", moreIsBetter, func(r record.Run) float64 {
		return known(r.BytesPerS / mega)
	}}
	cpuOfBodies = figure{"CPU, ms a request", lessIsBetter, func(r record.Run) float64 {
		return known(r.CPUPerMillion().Total() / 1000)
	}}
	p50  = latency("p50", func(l record.Latency) float64 { return l.P50 })
	p90  = latency("p90", func(l record.Latency) float64 { return l.P90 })
	p99  = latency("p99", func(l record.Latency) float64 { return l.P99 })
	p999 = latency("p99.9", func(l record.Latency) float64 { return l.P999 })
)

// Figures of attacks.
var (
	p99Alone = figure{"p99 without the attack, ms", unranked, ofAttack(func(_ record.Run, a record.Attack) float64 {
		return known(a.Without.P99 / 1000)
	})}
	p99Growth = figure{"p99 by that without", lessIsBetter, ofAttack(func(r record.Run, a record.Attack) float64 {
		return known(r.Latency.P99 / a.Without.P99)
	})}
	attackersClosed = figure{"attacking connections closed", unranked, ofAttack(func(_ record.Run, a record.Attack) float64 {
		return float64(a.Closed)
	})}
	rssGrowth = figure{"RSS afterwards by that before", lessIsBetter, ofAttack(func(r record.Run, a record.Attack) float64 {
		return known(float64(r.Closed.RSS) / float64(a.Before.RSS))
	})}
	rssBefore = figure{"RSS before, MB", unranked, ofAttack(func(_ record.Run, a record.Attack) float64 {
		return float64(a.Before.RSS) / mega
	})}
	lateShare = figure{"requests that came too late, %", lessIsBetter, func(r record.Run) float64 {
		return 100 * float64(r.Late) / float64(r.Requests+r.Drained+r.Late)
	}}
)

func ofAttack(of func(record.Run, record.Attack) float64) func(record.Run) float64 {
	return func(r record.Run) float64 {
		if r.Attack == nil {
			return math.NaN()
		}
		return of(r, *r.Attack)
	}
}

func latency(name string, of func(record.Latency) float64) figure {
	return figure{name + ", ms", lessIsBetter, func(r record.Run) float64 { return known(of(r.Latency) / 1000) }}
}

// known returns value, or NaN where 0 or a quotient of zeros stands for what was not measured.
func known(value float64) float64 {
	if value == 0 || math.IsInf(value, 0) {
		return math.NaN()
	}
	return value
}

// A section is a load in the page.
type section struct {
	load    string
	about   string
	figures []figure
}

var sections = []section{
	{
		record.LoadMemory,
		"All connections stand; then one request is in flight on each; then they idle.",
		[]figure{hwm, loadedPerConnection, peak, peakGrowth, idleRSS, idlePerConnection, throughput, cpu, busy},
	},
	{
		record.LoadIdle,
		"Each connection has made one request, and waits.",
		[]figure{emptyRSS, idleRSS, idlePerConnection},
	},
	{
		record.LoadThroughput,
		"wrk, which asks as fast as it is answered. It knows no percentiles where it sends several requests at once. Where the\n" +
			"server leaves much of its core unused, requests/s is what wrk can do with its own, and CPU is what tells servers apart.",
		[]figure{throughput, cpu, busy, p50, p99},
	},
	{
		record.LoadOpen,
		"Requests are due at a fixed rate; latency runs from when they were due.",
		[]figure{p50, p90, p99, p999, lateShare, cpu},
	},
	{
		record.LoadAttack,
		"The load `open`, first alone, then beside clients that send heads slowly or read answers slowly. Before either, as many\n" +
			"clients ask for what the slow readers ask for, and read it.",
		[]figure{p99Alone, p99, p99Growth, lateShare, attackersClosed, rssBefore, closedRSS, rssGrowth},
	},
	{
		record.LoadUpload,
		"Large bodies that the server reads. nginx throws them away before they are through.",
		[]figure{bodies, cpuOfBodies},
	},
	{
		record.LoadDownload,
		"Large bodies that the server makes; nginx sends a file.",
		[]figure{bodies, cpuOfBodies},
	},
	{
		record.LoadPipelined,
		"The load `memory` with many requests in flight on each connection.",
		[]figure{hwm, idleRSS, throughput, cpu},
	},
}
