// Package report makes a page and plots out of what the benchmark kit has recorded. Everything that it says about the
// servers, where kourier loses too, is computed from the records; the same records give the same bytes.
package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// WriteFiles makes the report of files, beside the first of them.
func WriteFiles(paths []string) error {
	sources, err := Read(paths)
	if err != nil {
		return err
	}
	return Write(filepath.Dir(paths[0]), sources)
}

// A Source is the records of one file.
type Source struct {
	Name    string // of the file, without its folder
	Machine record.Machine
	Runs    []record.Run
}

// Read returns the records of files, in their order.
func Read(paths []string) ([]Source, error) {
	if len(paths) == 0 {
		return nil, errors.New("a report needs a file of records")
	}
	var sources []Source
	for _, path := range paths {
		source, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func readFile(path string) (Source, error) {
	file, err := os.Open(path)
	if err != nil {
		return Source{}, err
	}
	defer file.Close() //nolint:errcheck // nothing was written to it
	machine, runs, err := record.Read(file)
	if err == nil && machine.Kind == "" {
		err = errors.New("no line says on which machine the runs were made")
	}
	return Source{filepath.Base(path), machine, runs}, err
}

// Write makes report.md in dir, and beside it the plots for which there are records. It refuses sources that differ in
// their machine, their profile or the versions of what was measured, but for those of virtual machines, which stand apart.
func Write(dir string, sources []Source) error {
	host, virtual, err := split(sources)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	plots, err := writePlots(dir, host, virtual)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.md"), []byte(page(host, virtual, plots)), 0o644)
}
