package kourier_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// forEachImport calls visit for every import of every Go file of the module,
// with the file's path relative to its root.
func forEachImport(t *testing.T, visit func(file, imported string)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			_, inner := os.Stat(filepath.Join(file, "go.mod"))
			anotherModule := file != "." && inner == nil
			if anotherModule || name == "build" || name == "testdata" || len(name) > 1 && name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			visit(filepath.ToSlash(file), imported)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, files, "this test must run in the module's root")
}

func TestCgoStandsOnlyWhereTheBorderIs(t *testing.T) {
	forEachImport(t, func(file, imported string) {
		atBorder := file == "bridge.go" || path.Dir(file) == "callbacks" || strings.HasPrefix(file, "csrc/csrc")
		if imported == "C" && !atBorder {
			t.Errorf(`%s: import "C" belongs into bridge.go, callbacks/ and csrc/csrc.go`, file)
		}
	})
}

func TestUnsafeStandsOnlyWhereTheBorderIs(t *testing.T) {
	forEachImport(t, func(file, imported string) {
		atBorder := file == "bridge.go" || slices.Contains([]string{"callbacks", "internal/abi", "internal/nethttp"}, path.Dir(file))
		if imported == "unsafe" && !atBorder {
			t.Errorf("%s: unsafe belongs into bridge.go, callbacks/, internal/abi and internal/nethttp", file)
		}
	})
}

// The root module is what users download: each dependency is theirs too.
func TestTheModuleDependsOnGoPointerAndTestifyAlone(t *testing.T) {
	allowed := []string{"github.com/kourier-go/kourier", "github.com/mattn/go-pointer", "github.com/stretchr/testify"}
	forEachImport(t, func(file, imported string) {
		first, _, _ := strings.Cut(imported, "/")
		if !strings.Contains(first, ".") {
			return
		}
		for _, module := range allowed {
			if imported == module || strings.HasPrefix(imported, module+"/") {
				return
			}
		}
		t.Errorf("%s: imports %s", file, imported)
	})
}
