package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLibrariesAreThosePathsThatTheLinkerFound(t *testing.T) {
	libraries, err := parseLibraries([]byte("\tlinux-vdso.so.1 (0x00007ffd)\n" +
		"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f10)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f20)\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}, libraries)
}

func TestALibraryThatIsMissingHereIsAnError(t *testing.T) {
	_, err := parseLibraries([]byte("\tlibpcre2-8.so.0 => not found\n"))
	require.ErrorContains(t, err, "libpcre2-8.so.0")
}

func TestAProgramFindsItsLibrariesInTheMachine(t *testing.T) {
	program, err := exec.LookPath("ls")
	require.NoError(t, err)
	root := initramfs{t.TempDir()}
	require.NoError(t, root.addProgram(t.Context(), program, "/opt/ls"))
	libraries, err := librariesOf(t.Context(), program)
	require.NoError(t, err)
	require.NotEmpty(t, libraries)
	for _, library := range libraries {
		require.FileExists(t, filepath.Join(root.folder, library))
	}
	info, err := os.Stat(filepath.Join(root.folder, "opt", "ls"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&0o100)
}

func TestAStaticProgramNeedsNoLibrary(t *testing.T) {
	folder := t.TempDir()
	source := filepath.Join(folder, "main.go")
	require.NoError(t, os.WriteFile(source, []byte("package main\nfunc main() {}\n"), 0o644))
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "static"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	libraries, err := librariesOf(t.Context(), filepath.Join(folder, "static"))
	require.NoError(t, err)
	require.Empty(t, libraries)
}

func TestWhatIsNoProgramIsAnError(t *testing.T) {
	_, err := librariesOf(t.Context(), filepath.Join(t.TempDir(), "nothing"))
	require.ErrorContains(t, err, "nothing")
}

func TestFoldersBesideTheProgramsStayHere(t *testing.T) {
	programs, root := t.TempDir(), initramfs{t.TempDir()}
	require.NoError(t, os.Mkdir(filepath.Join(programs, "cargo"), 0o755))
	program, err := exec.LookPath("ls")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(program, filepath.Join(programs, "server")))
	require.NoError(t, root.addPrograms(t.Context(), programs))
	entries, err := os.ReadDir(filepath.Join(root.folder, "opt", "bin"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "server", entries[0].Name())
	require.True(t, entries[0].Type().IsRegular())
}

func TestTheArchiveHoldsTheRoot(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	root := initramfs{t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(root.folder, "init"), initScript, 0o755))
	archive := filepath.Join(t.TempDir(), "initramfs.cpio")
	require.NoError(t, root.pack(t.Context(), archive))
	text, err := output(t.Context(), "", "cpio", "--list", "--verbose", "--quiet", "--file="+archive)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^-rwxr-xr-x\s.* init$`, text)
	begin, err := os.ReadFile(archive)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(begin), "070701"), "newc, which the kernel reads")
}
