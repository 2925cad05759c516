package report

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kourier-go/kourier/bench/internal/record"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/report.md anew")

// writeReport makes a report of testdata, and returns its files by name.
func writeReport(t *testing.T, names ...string) map[string]string {
	t.Helper()
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join("testdata", name))
	}
	sources, err := Read(paths)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "report")
	require.NoError(t, Write(dir, sources))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		files[entry.Name()] = string(text)
	}
	return files
}

func TestPageIsWhatTheRecordsSay(t *testing.T) {
	golden := filepath.Join("testdata", "report.md")
	got := writeReport(t, "host.jsonl", "vm.jsonl")["report.md"]
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestReportOfFilesStandsBesideTheFirst(t *testing.T) {
	records, err := os.ReadFile("testdata/vm.jsonl")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "vm.jsonl")
	require.NoError(t, os.WriteFile(path, records, 0o644))
	require.NoError(t, WriteFiles([]string{path, path}))
	require.FileExists(t, filepath.Join(filepath.Dir(path), "report.md"))
	require.ErrorContains(t, WriteFiles(nil), "needs a file")
}

func TestSameRecordsGiveTheSameBytes(t *testing.T) {
	first := writeReport(t, "host.jsonl", "vm.jsonl")
	require.Len(t, first, 5)
	require.Equal(t, first, writeReport(t, "host.jsonl", "vm.jsonl"))
}

// words returns the texts of an SVG.
func words(t *testing.T, svg string) []string {
	t.Helper()
	var words []string
	inText := false
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return words
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.CharData:
			if inText {
				words = append(words, string(token))
			}
		case xml.EndElement:
			inText = false
		}
	}
}

func TestPlotsNameServersAndUnits(t *testing.T) {
	files := writeReport(t, "host.jsonl", "vm.jsonl")
	for name, more := range map[string][]string{
		"memory.svg":     {"connections", "500,000", "10 MB", "measured in a virtual machine", "fitted line, extrapolated"},
		"cpu.svg":        {"CPU, µs a request", "64 connections", "16 requests at once on a connection", "3.50"},
		"throughput.svg": {"requests/s", "1,000 connections", "200k"},
		"latency.svg":    {"99.9", "1 ms", "500 µs"},
	} {
		require.Subset(t, words(t, files[name]), append(more, "kourier-fast", "kourier-handler", "nethttp", "hyper"), name)
		require.NotContains(t, files[name], "NaN", name)
		require.NotContains(t, files[name], "Liberation Sans;", "a page's reader need not have the font")
	}
}

func TestPlotsSayNothingOfWhatTheyDoNotShow(t *testing.T) {
	require.NotContains(t, words(t, writeReport(t, "host.jsonl")["memory.svg"]), "measured in a virtual machine")
	require.NotContains(t, words(t, writeReport(t, "vm.jsonl")["memory.svg"]), "fitted line, extrapolated")
}

// Memory is all that counts of what an emulated processor has done.
func TestVirtualMachinesTellOfMemoryAlone(t *testing.T) {
	files := writeReport(t, "vm.jsonl")
	require.Len(t, files, 2)
	require.Contains(t, files, "memory.svg")
	page := files["report.md"]
	require.Contains(t, page, "| `kourier-fast` | 500,000 |")
	require.Contains(t, page, "| ancestor, as published | 500,000 | 1,261 |")
	require.Contains(t, page, "None.", "a machine that is emulated may be slow to serve all connections")
	require.NotContains(t, page, "requests/s")
	require.NotContains(t, page, "kourier is first")
}

func TestPublishedFiguresStandBesideAsManyConnectionsOnly(t *testing.T) {
	source := Source{"vm.jsonl", record.Machine{Profile: record.ProfileVM}, []record.Run{
		{Server: "hyper", Load: record.LoadMemory, Connections: 1000, Alive: 1000},
	}}
	dir := t.TempDir()
	require.NoError(t, Write(dir, []Source{source}))
	page, err := os.ReadFile(filepath.Join(dir, "report.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "| `hyper` | 1,000 |")
	require.NotContains(t, string(page), "as published")
}

func TestWithoutARunThatCountsThereIsNoPlot(t *testing.T) {
	failed := Source{"one.jsonl", record.Machine{Profile: "quick"}, nil}
	for _, load := range []string{record.LoadMemory, record.LoadThroughput, record.LoadOpen} {
		failed.Runs = append(failed.Runs, record.Run{Server: "x", Load: load, Connections: 1, Errors: record.Errors{Closed: 1}})
	}
	for _, source := range []Source{failed, {Name: "none.jsonl"}} {
		dir := t.TempDir()
		require.NoError(t, Write(dir, []Source{source}))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		page, err := os.ReadFile(filepath.Join(dir, "report.md"))
		require.NoError(t, err)
		require.Contains(t, string(page), "## Runs that do not count")
		require.NotContains(t, string(page), "kourier is first")
	}
}

func TestEveryLoadHasATable(t *testing.T) {
	page := writeReport(t, "host.jsonl")["report.md"]
	for _, load := range []string{
		record.LoadMemory, record.LoadIdle, record.LoadThroughput, record.LoadOpen, record.LoadAttack, record.LoadUpload,
		record.LoadDownload, record.LoadPipelined,
	} {
		require.Contains(t, page, "\n### "+load+"\n")
	}
}

func TestFilesThatMakeNoReportAreErrors(t *testing.T) {
	_, err := Read(nil)
	require.ErrorContains(t, err, "needs a file")
	_, err = Read([]string{"testdata/none.jsonl"})
	require.ErrorIs(t, err, os.ErrNotExist)
	path := filepath.Join(t.TempDir(), "runs.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"kind":"run"}`+"\n"), 0o644))
	_, err = Read([]string{path})
	require.ErrorContains(t, err, "runs.jsonl: no line says on which machine")
}
