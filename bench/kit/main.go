// Kit builds the servers of the benchmark and the loader, puts every load on every server in turn, and writes down what
// they needed. ../README.md tells what it promises.
//
//	go run ./kit -profile quick -out report/quick.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/kourier-go/kourier/bench/internal/record"
	"github.com/kourier-go/kourier/bench/internal/report"
)

type settings struct {
	profile     string
	servers     string
	loads       string
	ancestor    string
	source      string
	bin         string
	out         string
	serverCores string
	loadCores   string
	connections int
	seconds     int
	buildOnly   bool
	noBuild     bool
	checkOnly   bool
	report      bool
}

func main() {
	var set settings
	flag.StringVar(&set.profile, "profile", "quick", "how much is measured: smoke, quick, full, or what ../vm measures")
	flag.StringVar(&set.servers, "servers", "", "`names` of the servers, separated by commas; all unless given")
	flag.StringVar(&set.loads, "loads", "", "`names` of the loads, separated by commas; all unless given")
	flag.StringVar(&set.ancestor, "ancestor", "", "`path` of the C++ ancestor's program, measured too if given")
	flag.StringVar(&set.source, "source", ".", "`folder` of the module bench")
	flag.StringVar(&set.bin, "bin", "../build/bench-kit", "`folder` that programs are built in and started from")
	flag.StringVar(&set.out, "out", "", "`file` that the records go to, JSON lines, with the report beside it; report/PROFILE.jsonl, or for smoke one in ../build, unless given; - for standard output")
	flag.StringVar(&set.serverCores, "server-cores", "0", "`cores` of the server, separated by commas; it gets as many workers")
	flag.StringVar(&set.loadCores, "load-cores", "1", "`cores` of the loader")
	flag.IntVar(&set.connections, "connections", 0, "`number` of connections that the profile's are cut to; 0 for what the machine can hold")
	flag.IntVar(&set.seconds, "seconds", 0, "`seconds` of the load memory; 0 for the profile's")
	flag.BoolVar(&set.buildOnly, "build-only", false, "build, and measure nothing")
	flag.BoolVar(&set.noBuild, "no-build", false, "use the programs as they are")
	flag.BoolVar(&set.checkOnly, "check-limits", false, "say what limits the profile, and measure nothing")
	flag.BoolVar(&set.report, "report", false, "make report.md and plots, beside the first of the `files` of records that follow, and measure nothing")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, set); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted") // what it has broken off says less
		}
		fmt.Fprintln(os.Stderr, "kit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, set settings) error {
	if set.report {
		return report.WriteFiles(flag.Args())
	}
	if flag.NArg() > 0 || set.connections < 0 || set.seconds < 0 {
		return fmt.Errorf("%q: only -report takes files, and there are no negative numbers of connections or seconds", os.Args[1:])
	}
	chosen, err := profileCalled(set.profile)
	if err != nil {
		return err
	}
	if set.seconds != 0 {
		chosen.memory = slices.Clone(chosen.memory)
		for i := range chosen.memory {
			chosen.memory[i].seconds = set.seconds
		}
	}
	limits, err := readLimits("/proc")
	if err != nil {
		return err
	}
	wanted := chosen.connectionsMax()
	if set.connections != 0 {
		wanted = min(wanted, set.connections)
	}
	most := sayLimits(limits, wanted)
	measured := servers
	if set.ancestor != "" {
		path, err := filepath.Abs(set.ancestor)
		if err != nil {
			return err
		}
		measured = append(measured, ancestor(path))
	}
	if measured, err = choose(measured, list(set.servers)); err != nil {
		return err
	}
	steps, err := pick(chosen.steps(most), list(set.loads))
	if err != nil {
		return err
	}
	if set.checkOnly {
		fmt.Fprintf(os.Stderr, "%d connections can be made\n", most)
		return nil
	}
	source, errSource := filepath.Abs(set.source)
	bin, errBin := filepath.Abs(set.bin)
	if err := errors.Join(errSource, errBin); err != nil {
		return err
	}
	if !set.noBuild {
		fmt.Fprintln(os.Stderr, "building")
		if err := (builder{ctx, source, bin}).all(measured); err != nil {
			return err
		}
	}
	if set.buildOnly {
		return nil
	}
	serverCores, errServer := cores(set.serverCores)
	loadCores, errLoad := cores(set.loadCores)
	if err := errors.Join(errServer, errLoad, checkApart(serverCores, loadCores), checkWrk(steps), raiseOpenFiles()); err != nil {
		return err
	}
	path := set.out
	if path == "" {
		path = filepath.Join(set.source, chosen.folder, set.profile+".jsonl")
	}
	out, err := open(path)
	if err != nil {
		return err
	}
	machine := facts(ctx, "/proc", source, limits, chosen.name, serverCores, loadCores)
	b := bench{"/proc", bin, serverCores, loadCores, chosen.settle, chosen.warmSeconds, chosen.slowdown}
	failed, err := measureAll(ctx, b, machine, measured, chosen.rounds, steps, out)
	if err := errors.Join(err, out.Close()); err != nil || path == toStdout {
		return errors.Join(failed, err)
	}
	if err := errors.Join(os.Rename(path+unfinished, path), report.WriteFiles([]string{path})); err != nil {
		return errors.Join(failed, err)
	}
	fmt.Fprintf(os.Stderr, "%s has the report\n", filepath.Dir(path))
	return failed
}

// sayLimits says what must be set for a number of connections, and returns the number that can be had.
func sayLimits(limits Limits, wanted int) int {
	short := limits.Shortages(wanted)
	if len(short) == 0 {
		return wanted
	}
	most := limits.ConnectionsMax(wanted)
	fmt.Fprintf(os.Stderr, "%d connections cannot be had on this machine, %d can. As root:\n", wanted, most)
	for _, each := range short {
		fmt.Fprintln(os.Stderr, "  ", each)
	}
	return most
}

// measureAll measures step by step, and in each step the servers in turn, A B C B C A, so that what disturbs the machine
// for a while disturbs all of them. A run that fails is told at the end: failed.
func measureAll(ctx context.Context, b bench, machine record.Machine, servers []server, rounds int, steps []step, out io.Writer) (failed, err error) {
	if err := record.Write(out, machine); err != nil {
		return nil, err
	}
	for i, with := range steps {
		for round := 1; round <= rounds; round++ {
			for j := range servers {
				s := servers[(j+round-1)%len(servers)]
				if s.helloOnly && with.needsMore() {
					continue
				}
				fmt.Fprintf(os.Stderr, "%d/%d %s, %d connections, depth %d, round %d: %s\n",
					i+1, len(steps), with.load, with.connections, with.depth, round, s.name)
				run, err := b.measure(ctx, s, with, round)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if err != nil {
					err = fmt.Errorf("%s under %s: %w", s.name, with.load, err)
					fmt.Fprintf(os.Stderr, "  failed: %v\n", err)
					failed = errors.Join(failed, err)
					continue
				}
				if text := machine.Fault(run); text != "" {
					fmt.Fprintf(os.Stderr, "  does not count: %s\n", text)
				}
				if err := record.Write(out, run); err != nil {
					return failed, err
				}
			}
		}
	}
	return failed, nil
}

// toStdout, in place of a file, has records go to the standard output.
const toStdout = "-"

// unfinished is what is added to the name of a file of records as long as some are missing: those that it replaces stay
// until then.
const unfinished = ".part"

// open creates the file that records go to, and its folder.
func open(path string) (io.WriteCloser, error) {
	if path == toStdout {
		return os.Stdout, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.Create(path + unfinished)
}

// pick returns the steps whose load is named; all if none is.
func pick(steps []step, loads []string) ([]step, error) {
	for _, load := range loads {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.load == load }) {
			return nil, fmt.Errorf("the profile has no load %q", load)
		}
	}
	if len(loads) == 0 {
		return steps, nil
	}
	return slices.DeleteFunc(steps, func(s step) bool { return !slices.Contains(loads, s.load) }), nil
}

// checkApart says whether a core would be both the server's and the loader's, or is named twice.
func checkApart(server, load []int) error {
	all := slices.Concat(server, load)
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) < len(all) {
		return fmt.Errorf("of the cores %v for the server and %v for the loader one is named twice", server, load)
	}
	return nil
}

// checkWrk says whether wrk is needed and missing.
func checkWrk(steps []step) error {
	if !slices.ContainsFunc(steps, func(s step) bool { return s.mode == "" }) {
		return nil
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("%w: the load throughput needs it, Debian's package wrk", err)
	}
	return nil
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func cores(text string) ([]int, error) {
	var cores []int
	for _, word := range list(text) {
		core, err := strconv.Atoi(word)
		if err != nil || core < 0 || core >= runtime.NumCPU() {
			return nil, fmt.Errorf("%q is no core: there are %d, from 0", word, runtime.NumCPU())
		}
		cores = append(cores, core)
	}
	if len(cores) == 0 {
		return nil, errors.New("server and loader need a core each")
	}
	return cores, nil
}
