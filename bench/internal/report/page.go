package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// page is the report in Markdown.
func page(host, virtual measured, plots []plotFile) string {
	var out strings.Builder
	fmt.Fprint(&out, "# What HTTP servers need\n\n")
	for _, each := range plots {
		fmt.Fprintf(&out, "![%s](%s)\n\n", each.title, each.name)
	}
	if len(plots) > 0 {
		fmt.Fprint(&out, "Points and bars are medians of the runs that count; the thin lines on bars go from the least to the greatest.\n\n")
	}
	host.writeMachine(&out, "The machine")
	virtual.writeMachine(&out, "The virtual machines")
	writeCommands(&out, host, virtual)
	if len(host.runs) > 0 {
		host.writeLosses(&out)
		host.writeSlopes(&out)
	}
	virtual.writeVirtual(&out)
	if len(host.sources) > 0 {
		writeTables(&out, host)
	}
	writeRefusals(&out, host, virtual)
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func writeTables(out *strings.Builder, host measured) {
	fmt.Fprintf(out, "## Every load\n\nMedian (least–greatest) of the runs that count, and how many times `%s`'s median that is. "+
		"The best median is **bold**.\nMB are 10^6 bytes. A dash is what was not measured. CPU is that of the server's processes, "+
		"user and system together,\nin ticks of 10 ms.\n\n", reference)
	fmt.Fprint(out, "What these figures rest on: every connection repeats one request with a small head, and kourier's parser skips a head that\n"+
		"repeats the one before it (`docs/internals.md`, *Repeats*), so requests that differ cost it more than stands here.\n"+
		"wrk, of `throughput`, asks again when it has been answered, so a server that stalls is asked less and its percentiles\n"+
		"hide the stall; those of `open` and `attack` do not, for they run from when a request was due.\n\n")
	for _, s := range sections {
		host.writeTable(out, s)
	}
}

// writeMachine adds the facts of the machine, if anything was measured on it.
func (m measured) writeMachine(out *strings.Builder, title string) {
	if len(m.sources) == 0 {
		return
	}
	machine := m.sources[0].Machine
	fmt.Fprintf(out, "## %s\n\n| | |\n|---|---|\n", title)
	fact := func(name, value string) { fmt.Fprintf(out, "| %s | %s |\n", name, value) }
	fact("processor", fmt.Sprintf("%s, %d cores; %s for the server, %s for the loader",
		machine.CPU, machine.Cores, coreNames(machine.ServerCores), coreNames(machine.LoadCores)))
	fact("memory", number(float64(machine.MemoryBytes)/1e9)+" GB")
	fact("kernel", machine.Kernel)
	if machine.System != "" {
		fact("system", machine.System)
	}
	for _, name := range slices.Sorted(maps.Keys(machine.Versions)) {
		fact(name, machine.Versions[name])
	}
	for _, source := range m.sources {
		fact("`"+source.Name+"`", fmt.Sprintf("begun %s, load average %s, runs: %d",
			source.Machine.Time, source.Machine.LoadAverage, len(source.Runs)))
		for _, name := range slices.Sorted(maps.Keys(source.Machine.Limits)) {
			fact("limit: "+name, source.Machine.Limits[name])
		}
	}
	fmt.Fprintln(out)
}

func coreNames(cores []int) string {
	if len(cores) == 1 {
		return fmt.Sprintf("core %d", cores[0])
	}
	return fmt.Sprintf("cores %s", joinInts(cores, ", "))
}

func joinInts(values []int, separator string) string {
	var words []string
	for _, value := range values {
		words = append(words, fmt.Sprint(value))
	}
	return strings.Join(words, separator)
}

// writeCommands adds what makes such records and this page of them, to be run in the folder bench.
func writeCommands(out *strings.Builder, host, virtual measured) {
	fmt.Fprint(out, "## The commands\n\nIn the folder `bench`:\n\n")
	var files []string
	for _, source := range host.sources {
		fmt.Fprintf(out, "    go run ./kit %s\n", strings.Join(source.Machine.Arguments, " "))
		files = append(files, "report/"+source.Name)
	}
	for _, source := range virtual.sources {
		fmt.Fprintf(out, "    go run ./vm -servers %s", strings.Join(servers(measured{sources: []Source{source}}), ","))
		if loads := loadsOf(source.Runs); !slices.Equal(loads, []string{record.LoadMemory}) {
			fmt.Fprintf(out, " -loads %s", strings.Join(loads, ","))
		}
		if len(source.Runs) > 0 {
			fmt.Fprintf(out, " -connections %d", source.Runs[0].Connections)
			if seconds := source.Runs[0].Seconds; seconds >= 1 {
				fmt.Fprintf(out, " -seconds %.0f", seconds)
			}
		}
		fmt.Fprintf(out, " -out report/%s\n", source.Name)
		files = append(files, "report/"+source.Name)
	}
	fmt.Fprintf(out, "    go run ./kit -report %s\n\n", strings.Join(files, " "))
}

// loadsOf returns the loads of runs, in the order in which they first come.
func loadsOf(runs []record.Run) []string {
	var loads []string
	for _, run := range runs {
		if !slices.Contains(loads, run.Load) {
			loads = append(loads, run.Load)
		}
	}
	return loads
}

// writeRefusals adds the runs that do not count, and why.
func writeRefusals(out *strings.Builder, parts ...measured) {
	fmt.Fprint(out, "## Runs that do not count\n\n")
	var table strings.Builder
	for _, part := range parts {
		for _, each := range part.refused {
			run := each.run
			fmt.Fprintf(&table, "| %s, %s | `%s` | %d | %s | %s | %s | %s |\n", run.Load, nameOf(run), run.Server, run.Round,
				each.fault, cellOf(throughput.of(run)), cellOf(cpu.of(run)), cellOf(hwm.of(run)))
		}
	}
	if table.Len() == 0 {
		fmt.Fprintln(out, "None.")
		return
	}
	fmt.Fprintf(out, "They are left out of every figure above, and what they reached stands here only.\n\n"+
		"| load | server | round | why | requests/s | CPU, µs a request | VmHWM, MB |\n|---|---|---|---|---|---|---|\n%s", table.String())
}

// cellOf is a figure of one run, or a dash where there is none.
func cellOf(value float64) string {
	if math.IsNaN(value) {
		return "–"
	}
	return number(value)
}

func nameOf(run record.Run) string {
	return group{connections: run.Connections, depth: run.Depth}.name()
}
