package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A builder makes the programs of the benchmark. They are linked statically where that is possible, so that they run
// where nothing else is installed.
type builder struct {
	ctx    context.Context
	source string // the folder of this module, absolute
	bin    string // where the programs go, absolute
}

// all builds the loader and the programs of servers.
func (b builder) all(servers []server) error {
	if err := os.MkdirAll(b.bin, 0o755); err != nil {
		return err
	}
	if err := b.loader(); err != nil {
		return err
	}
	built := map[string]bool{}
	for _, s := range servers {
		if s.build == nil || built[s.program] {
			continue
		}
		built[s.program] = true
		if err := s.build(b); err != nil {
			return fmt.Errorf("building %s: %w", s.name, err)
		}
	}
	return nil
}

func (b builder) loader() error {
	sources, err := filepath.Glob(filepath.Join(b.source, "load", "*.cpp"))
	if err != nil || len(sources) == 0 {
		return errors.Join(err, fmt.Errorf("no sources in %s/load", b.source))
	}
	arguments := []string{"-O2", "-std=c++20", "-fno-exceptions", "-fno-rtti", "-static", "-o", filepath.Join(b.bin, "load")}
	return b.run(b.source, nil, "g++", append(arguments, sources...)...)
}

func (b builder) kourier() error {
	return b.run(b.source, []string{"CGO_ENABLED=1"}, "go", "build", "-buildvcs=false", "-tags", "netgo,osusergo",
		"-ldflags", "-linkmode external -extldflags -static", "-o", filepath.Join(b.bin, "kourier"), "./servers/kourier")
}

// goServer returns what builds a server in Go that needs no C.
func goServer(name string) func(builder) error {
	return func(b builder) error {
		return b.run(b.source, []string{"CGO_ENABLED=0"}, "go", "build", "-buildvcs=false",
			"-o", filepath.Join(b.bin, name), "./servers/"+name)
	}
}

func (b builder) hyper() error {
	if _, err := os.Stat("/usr/share/cargo/registry"); err != nil {
		return fmt.Errorf("%w: apt-get install cargo librust-hyper-dev librust-tokio-dev", err)
	}
	target := filepath.Join(b.bin, "cargo")
	source := filepath.Join(b.source, "servers", "hyper")
	if err := b.run(source, []string{"CARGO_TARGET_DIR=" + target}, "cargo", "build", "--release", "--quiet"); err != nil {
		return err
	}
	return relink(filepath.Join(target, "release", "hyper-hello"), filepath.Join(b.bin, "hyper"), os.Link)
}

// nginx is Debian's: it is only looked for.
func (b builder) nginx() error {
	for _, path := range []string{"/usr/sbin/nginx", "/usr/bin/nginx"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		return relink(path, filepath.Join(b.bin, "nginx"), os.Symlink)
	}
	return errors.New("it is missing: apt-get install nginx-light")
}

// relink makes at name what link makes of path, in place of what is there.
func relink(path, name string, link func(path, name string) error) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return link(path, name)
}

func (b builder) run(folder string, environment []string, program string, arguments ...string) error {
	command := exec.CommandContext(b.ctx, program, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), environment...)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, output)
	}
	return nil
}
