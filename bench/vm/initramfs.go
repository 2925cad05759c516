package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

//go:embed init.sh
var initScript []byte

// buildInitramfs builds the kit, the loader and the servers in the cache, and packs them with what they need. It returns
// the archive's path.
func buildInitramfs(ctx context.Context, source, cache, servers string) (string, error) {
	place := func(name string) string { return filepath.Join(cache, name) }
	programs, kit, noprobe, archive := place("bin"), place("kit"), place("noprobe"), place("initramfs.cpio")
	for _, build := range [][]string{
		{"env", "CGO_ENABLED=0", "go", "build", "-buildvcs=false", "-o", kit, "./kit"},
		{"g++", "-std=c++20", "-O2", "-static", "-o", noprobe, "vm/noprobe/main.cpp"},
	} {
		if _, err := output(ctx, source, build[0], build[1:]...); err != nil {
			return "", err
		}
	}
	if _, err := output(ctx, source, kit, "-build-only", "-servers", servers, "-bin", programs); err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(cache, "root")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }() // what is left there is only in the way
	root := initramfs{folder}
	if err := os.WriteFile(filepath.Join(folder, "init"), initScript, 0o755); err != nil {
		return "", err
	}
	if err := root.addPrograms(ctx, programs); err != nil {
		return "", err
	}
	for _, program := range [][2]string{{"/bin/busybox", "/bin/busybox"}, {kit, "/opt/kit"}, {noprobe, "/opt/noprobe"}} {
		if err := root.addProgram(ctx, program[0], program[1]); err != nil {
			return "", err
		}
	}
	return archive, root.pack(ctx, archive)
}

// initramfs is the machine's root while it is gathered in a folder.
type initramfs struct{ folder string }

// add copies a file to a place in the machine, with its permissions.
func (r initramfs) add(path, place string) error {
	source, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // it was only read
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target := filepath.Join(r.folder, place)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	copied, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, source)
	return errors.Join(err, copied.Close())
}

// addPrograms copies the programs of a folder.
func (r initramfs) addPrograms(ctx context.Context, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		if err := r.addProgram(ctx, filepath.Join(folder, entry.Name()), filepath.Join("/opt/bin", entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// addProgram copies a program to a place in the machine, and the libraries it needs to where they are here.
func (r initramfs) addProgram(ctx context.Context, path, place string) error {
	if err := r.add(path, place); err != nil {
		return err
	}
	libraries, err := librariesOf(ctx, path)
	if err != nil {
		return err
	}
	for _, library := range libraries {
		if err := r.add(library, library); err != nil {
			return err
		}
	}
	return nil
}

// librariesOf asks the dynamic linker. A static program needs none.
func librariesOf(ctx context.Context, program string) ([]string, error) {
	text, err := exec.CommandContext(ctx, "ldd", program).CombinedOutput()
	if err != nil {
		if staticProgram.Match(text) {
			return nil, nil
		}
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, text)
	}
	return parseLibraries(text)
}

var (
	staticProgram  = regexp.MustCompile(`not a dynamic executable|statically linked`)
	missingLibrary = regexp.MustCompile(`(\S+) => not found`)
	// "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)" and "/lib64/ld-linux-x86-64.so.2 (0x00007f…)"
	foundLibrary = regexp.MustCompile(`(?m)(/\S+) \(0x[0-9a-f]+\)$`)
)

func parseLibraries(text []byte) ([]string, error) {
	if missing := missingLibrary.FindSubmatch(text); missing != nil {
		return nil, fmt.Errorf("the library %s is missing", missing[1])
	}
	var libraries []string
	for _, match := range foundLibrary.FindAllSubmatch(text, -1) {
		libraries = append(libraries, string(match[1]))
	}
	return libraries, nil
}

// pack writes the archive that the kernel unpacks into its root.
func (r initramfs) pack(ctx context.Context, archive string) error {
	const script = `set -o pipefail; find . -print0 | cpio --null --create --quiet --format=newc --owner=0:0 >"$0"`
	_, err := output(ctx, r.folder, "bash", "-c", script, archive)
	return err
}
