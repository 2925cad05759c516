package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// install sees to the Debian packages that are used here and missing, which takes root. Project is its folder.
func install(ctx context.Context, project string) error {
	packages := exec.CommandContext(ctx, "bash", "-c", `. "$0" && install_missing "$@"`,
		filepath.Join(project, "scripts", "environment.sh"), "qemu-system-x86", "busybox-static", "cpio")
	packages.Stdout, packages.Stderr = os.Stderr, os.Stderr
	if err := packages.Run(); err != nil {
		return fmt.Errorf("installing what is missing: %w", err)
	}
	return nil
}

// kernelPackage depends on the newest kernel that Debian builds for virtual machines: serial lines are in it, not modules.
const kernelPackage = "linux-image-cloud-amd64"

// fetchKernel returns the path of a kernel in the cache. It is downloaded if it is not there, and never installed.
func fetchKernel(ctx context.Context, cache string) (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("no kernel for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	kernel := filepath.Join(cache, "vmlinuz")
	if _, err := os.Stat(kernel); err == nil {
		return kernel, nil
	}
	folder, err := os.MkdirTemp(cache, "kernel")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }() // what is left there is only in the way
	depends, err := output(ctx, folder, "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", err
	}
	_, name, found := strings.Cut(depends, "Depends: ")
	if !found {
		return "", fmt.Errorf("%s depends on no kernel", kernelPackage)
	}
	name, _, _ = strings.Cut(name, "\n")
	if _, err := output(ctx, folder, "apt-get", "download", "-qq", name); err != nil {
		return "", err
	}
	archive, err := only(filepath.Join(folder, "*.deb"))
	if err != nil {
		return "", err
	}
	if _, err := output(ctx, folder, "dpkg-deb", "--extract", archive, folder); err != nil {
		return "", err
	}
	image, err := only(filepath.Join(folder, "boot", "vmlinuz-*"))
	if err != nil {
		return "", err
	}
	return kernel, os.Rename(image, kernel)
}

// only returns the one file that matches.
func only(pattern string) (string, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	if len(files) != 1 {
		return "", fmt.Errorf("%d files are called %s, not one", len(files), pattern)
	}
	return files[0], nil
}

// output runs a command in a folder and returns what it prints. What it says on standard error is part of its error.
func output(ctx context.Context, folder, name string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = folder
	text, err := command.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", command, err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	return string(text), nil
}
