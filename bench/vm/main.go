// Vm measures what connections cost a server in virtual machines, whose limits are their own: the 500,000 connections of
// the published benchmark can be held in one process wherever there is memory for them. It boots a Debian kernel under qemu
// for each server, with the kit, the loader and the servers in an initramfs, and collects the kit's records.
//
//	go run ./vm -servers kourier-fast,nethttp -connections 500000
//
// Where the processor is emulated memory is what it is on a real one. Speed is not: no figure of it made here counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kourier-go/kourier/bench/internal/record"
)

type settings struct {
	source      string
	out         string
	servers     string
	loads       string
	connections int
	seconds     int
	memoryMB    int
	limit       time.Duration
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("vm: ")
	var set settings
	flag.StringVar(&set.source, "source", ".", "`folder` of the module bench")
	flag.StringVar(&set.out, "out", "", "`file` that the records go to, JSON lines; report/vm.jsonl unless given")
	flag.StringVar(&set.servers, "servers", "kourier-fast,kourier-handler,nethttp,fasthttp,hyper", "`names` of the servers, separated by commas")
	flag.StringVar(&set.loads, "loads", record.LoadMemory, "`names` of the loads, separated by commas: memory and idle; each gets a machine")
	flag.IntVar(&set.connections, "connections", connectionsMax, "`number` of connections")
	flag.IntVar(&set.seconds, "seconds", 120, "`seconds` of load")
	flag.IntVar(&set.memoryMB, "memory", 16_000, "a machine's memory in `MiB`; what it does not touch is not taken")
	flag.DurationVar(&set.limit, "limit", 45*time.Minute, "`time` that a machine may run")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, set); err != nil {
		log.Fatal(err)
	}
}

// connectionsMax is what the kit's profile for these machines makes at most.
const connectionsMax = 500_000

func run(ctx context.Context, set settings) error {
	if set.connections < 1 || set.connections > connectionsMax {
		return fmt.Errorf("%d connections are not between 1 and %d", set.connections, connectionsMax)
	}
	if available, err := availableMB(); err != nil || available < set.memoryMB {
		return errors.Join(err, fmt.Errorf("%d MiB of memory are available here, less than -memory=%d", available, set.memoryMB))
	}
	source, err := filepath.Abs(set.source)
	if err != nil {
		return err
	}
	if set.out == "" {
		set.out = filepath.Join(source, "report", "vm.jsonl")
	}
	build := filepath.Join(filepath.Dir(source), "build", "vm")
	if err := errors.Join(os.MkdirAll(build, 0o755), os.MkdirAll(filepath.Dir(set.out), 0o755)); err != nil {
		return err
	}
	if err := install(ctx, filepath.Dir(source)); err != nil {
		return err
	}
	kernel, err := fetchKernel(ctx, build)
	if err != nil {
		return err
	}
	log.Print("building")
	archive, err := buildInitramfs(ctx, source, build, set.servers)
	if err != nil {
		return err
	}
	out, err := os.Create(set.out)
	if err != nil {
		return err
	}
	err = measureAll(ctx, set, machine{kernel: kernel, archive: archive, memoryMB: set.memoryMB}, build, out)
	return errors.Join(err, out.Close())
}

// pairs are the loads and servers that are measured, in order.
func pairs(set settings) [][2]string {
	var all [][2]string
	for _, load := range strings.Split(set.loads, ",") {
		for _, server := range strings.Split(set.servers, ",") {
			all = append(all, [2]string{load, server})
		}
	}
	return all
}

// measureAll boots a machine for each server and load, so that no kernel has served another one before. A server that fails does
// not keep the others from being measured.
func measureAll(ctx context.Context, set settings, m machine, build string, out io.Writer) error {
	var faults []error
	begun := false
	for _, pair := range pairs(set) {
		load, server := pair[0], pair[1]
		m.console = filepath.Join(build, server+".log")
		m.environment = []string{
			"LOAD=" + load,
			"SERVER=" + server,
			fmt.Sprintf("CONNECTIONS=%d", set.connections),
			fmt.Sprintf("LOAD_SECONDS=%d", set.seconds),
		}
		log.Printf("%s, %s, %v at most; %s is the machine's console", load, server, set.limit, m.console)
		facts, run, err := m.measure(ctx, set.limit)
		if err == nil {
			err = check(run, set.connections)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s, %s: %w", load, server, err))
			continue
		}
		if !begun {
			err, begun = record.Write(out, facts), true
		}
		if err := errors.Join(err, record.Write(out, run)); err != nil {
			return err
		}
		fmt.Println(describe(run))
	}
	return errors.Join(faults...)
}

// availableMB is the memory that can be had without swapping, in MiB.
func availableMB() (int, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0, fmt.Errorf("MemAvailable in /proc/meminfo: %w", err)
	}
	return kilobytes >> 10, nil
}
