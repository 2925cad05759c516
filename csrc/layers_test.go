package csrc

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// below names, for each layer, the layers whose headers it may include besides
// its own: api → engine → net → base, and engine → http → simd → base.
var below = map[string][]string{
	"base":   {},
	"simd":   {"base"},
	"http":   {"simd", "base"},
	"net":    {"base"},
	"engine": {"net", "http", "simd", "base"},
	"api":    {"engine", "net", "http", "simd", "base"},
}

var quotedInclude = regexp.MustCompile(`^\s*#\s*include\s*"([^"]+)"`)

// layerOf returns the layer that a file of the core is named after, or "".
func layerOf(name string) string {
	stem, _, _ := strings.Cut(strings.TrimSuffix(name, filepath.Ext(name)), "_")
	if _, known := below[stem]; !known {
		return ""
	}
	return stem
}

// coreFiles lists the sources and headers of the core but for kourier.h.
func coreFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.cpp", "*.h"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(name string) bool { return name == "kourier.h" })
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	require.NoError(t, scanner.Err())
	return lines
}

func TestIncludesPointDownwards(t *testing.T) {
	files := coreFiles(t)
	for _, name := range files {
		layer := layerOf(name)
		if layer == "" {
			t.Errorf("%s: the name begins with none of the layers base, simd, http, net, engine, api", name)
			continue
		}
		for number, line := range readLines(t, name) {
			match := quotedInclude.FindStringSubmatch(line)
			if match == nil || match[1] == "kourier.h" {
				continue
			}
			included := match[1]
			switch target := layerOf(included); {
			case !slices.Contains(files, included):
				t.Errorf("%s:%d: %q is no header of the core: system headers stand in <>, and the folder is flat", name, number+1, included)
			case target != layer && !slices.Contains(below[layer], target):
				t.Errorf("%s:%d: layer %s may not include %q of layer %s", name, number+1, layer, included, target)
			}
		}
	}
}

// The tag kourier_cmake takes the library that CMake has built instead of the
// sources, so each source must step aside for it.
func TestEverySourceBeginsWithTheBuildGuard(t *testing.T) {
	const guard = "//go:build !kourier_cmake"
	for _, name := range coreFiles(t) {
		if filepath.Ext(name) != ".cpp" {
			continue
		}
		lines := readLines(t, name)
		if len(lines) < 2 || lines[0] != guard || lines[1] != "" {
			t.Errorf("%s: must begin with the line %q and an empty one; scripts/guard.sh adds them", name, guard)
		}
	}
}

// The go command compiles every .cpp file of this folder and knows suffixes of
// systems and architectures, but not _test; and it compiles no other ending.
func TestFilesAreWhatTheGoCommandUnderstands(t *testing.T) {
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			goFiles, err := filepath.Glob(filepath.Join(name, "*.go"))
			require.NoError(t, err)
			require.Empty(t, goFiles, "a .go file would make %s a package that users download and build", name)
			continue
		}
		if strings.HasSuffix(name, "_test.cpp") {
			t.Errorf("%s: would be compiled into the library; C++ tests live in tests/", name)
		}
		if extension := filepath.Ext(name); !slices.Contains([]string{".cpp", ".h", ".go"}, extension) {
			t.Errorf("%s: the build cache would not see changes of a %s file", name, extension)
		}
	}
}
