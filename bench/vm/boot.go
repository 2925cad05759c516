package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// A machine is one that can be booted.
type machine struct {
	kernel   string
	archive  string // the initramfs
	memoryMB int
	console  string // the file that what it prints goes to, but for the records

	// environment is that of its first process, NAME=VALUE without blanks: the kernel hands on what it does not know.
	environment []string
}

// measure boots the machine, lets it run until it powers off, but no longer than limit, and returns what it has recorded.
func (m machine) measure(ctx context.Context, limit time.Duration) (record.Machine, record.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", accelerator(), "-cpu", "max",
		"-smp", "2", // one for the server, one for the loader
		"-m", strconv.Itoa(m.memoryMB),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.kernel, "-initrd", m.archive,
		"-append", "console=ttyS0 quiet panic=-1 "+strings.Join(m.environment, " "),
		"-serial", "file:"+m.console, "-serial", "stdio")
	var records, said bytes.Buffer
	qemu.Stdout, qemu.Stderr = &records, &said
	err := qemu.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end: %w", ctx.Err())
	} else if err != nil {
		err = fmt.Errorf("qemu: %w: %s", err, said.Bytes())
	}
	facts, runs, errRead := record.Read(&records)
	if err := errors.Join(err, errRead); err != nil {
		return facts, record.Run{}, m.withConsole(err)
	}
	if facts.Kind != record.KindMachine || len(runs) != 1 {
		return facts, record.Run{}, m.withConsole(fmt.Errorf("%d runs were recorded, not one machine and one run", len(runs)))
	}
	return facts, runs[0], nil
}

// withConsole adds the end of what the machine has printed.
func (m machine) withConsole(err error) error {
	const size = 2048
	text, errRead := os.ReadFile(m.console)
	if errRead != nil {
		return errors.Join(err, errRead)
	}
	return fmt.Errorf("%w; at its end its console says\n%s", err, text[max(0, len(text)-size):])
}

// accelerator is kvm where the processor has what kvm needs and this process may use it. The device alone proves nothing:
// there are containers that have it, and in which a guest then never runs an instruction.
func accelerator() string {
	const emulation = "tcg,thread=multi"
	processor, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !virtualization.Match(processor) {
		return emulation
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return emulation
	}
	_ = device.Close() // nothing was written to it
	return "kvm"
}

// Intel's and AMD's names for it, among the flags of a processor.
var virtualization = regexp.MustCompile(`(?m)^flags\s.*\b(vmx|svm)\b`)
