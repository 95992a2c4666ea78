//go:build e2e

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What make dist builds depends on the source alone: not on the folder, the
// dates of files, the umask or the time zone.
func TestDistributionIsReproducible(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "another", "folder")
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains([]string{"bin", "dist"}, path):
			return fs.SkipDir
		case path == ".git" && d.IsDir():
			return fs.SkipDir
		case path == ".git": // in a worktree it is a file, and to skip that is to skip all that follow
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(elsewhere, path), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(elsewhere, path), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	target := runtime.GOOS + "/" + runtime.GOARCH
	name := "nitrox_v1.2.3_" + runtime.GOOS + "_" + runtime.GOARCH
	if runtime.GOOS == "windows" {
		t.Skip("the archive is read as one of tar")
	}
	var built []map[string][]byte
	var out string
	for dir, zone := range map[string]string{".": "UTC", elsewhere: "Pacific/Kiritimati"} {
		out = t.TempDir()
		cmd := exec.Command("go", "run", "./docs/release", "-version", "v1.2.3", "-date", "1790000000", "-targets", target, "-out", out)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TZ="+zone)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dist: %v\n%s", err, text)
		}
		files := map[string][]byte{}
		made, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range made {
			files[file.Name()] = []byte(readFile(t, filepath.Join(out, file.Name())))
		}
		sums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
		sums.Dir = out
		if text, err := sums.CombinedOutput(); err != nil || bytes.Count(text, []byte(": OK\n")) != len(files)-1 {
			t.Errorf("sha256sum of %v: %v\n%s", made, err, text)
		}
		built = append(built, files)
	}
	for file, content := range built[0] {
		if !bytes.Equal(content, built[1][file]) {
			t.Errorf("%s: built twice, and the bytes differ", file)
		}
	}

	kinds := []string{"SHA256SUMS", "nitrox-1.2.3.tgz", name + ".cdx.json", name + ".tar.gz"}
	if runtime.GOOS == "linux" {
		kinds = append(kinds, name+".deb", name+".rpm", "nitrox_v1.2.3_image.tar")
	}
	slices.Sort(kinds)
	if got := slices.Sorted(maps.Keys(built[0])); !slices.Equal(got, kinds) {
		t.Errorf("it makes %v, not %v", got, kinds)
	}
	installs(t, "An archive", out)

	dir := t.TempDir()
	files := unpack(t, built[0][name+".tar.gz"], dir)
	for _, want := range []string{"LICENSE", "LICENSES-of-dependencies.txt", "README.md", "CHANGELOG.md", "nitrox",
		"man/nitrox.1", "completion/nitrox.bash", "completion/_nitrox", "completion/nitrox.fish", "docs/mapping.md", "examples/quickstart/nitrox.yaml", "deploy/observe/rules.yaml"} {
		if !slices.Contains(files, name+"/"+want) {
			t.Errorf("%s is not in the archive", want)
		}
	}
	binary := filepath.Join(dir, name, "nitrox")
	said, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.HasPrefix(string(said), "nitrox v1.2.3 ") {
		t.Errorf("nitrox version: %q, %v", said, err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Components []struct {
			Name, Version, Purl string
			Hashes              []struct{ Content string }
			Licenses            []struct{ License struct{ ID string } }
		}
	}
	if err := json.Unmarshal(built[0][name+".cdx.json"], &bom); err != nil {
		t.Fatal(err)
	}
	if len(bom.Components) != len(info.Deps)+1 {
		t.Errorf("%d components, and %d modules in the binary", len(bom.Components), len(info.Deps))
	}
	licences := readFile(t, filepath.Join(dir, name, "LICENSES-of-dependencies.txt"))
	for i, m := range info.Deps {
		c := bom.Components[i+1]
		if c.Name != m.Path || c.Version != m.Version {
			t.Errorf("component %s %s, and module %s %s", c.Name, c.Version, m.Path, m.Version)
		}
		if hash, err := hex.DecodeString(c.Hashes[0].Content); err != nil || "h1:"+base64.StdEncoding.EncodeToString(hash) != m.Sum {
			t.Errorf("%s: hash %x, and the module's is %s", c.Name, hash, m.Sum)
		}
		if len(c.Licenses) == 0 || c.Licenses[0].License.ID == "" {
			t.Errorf("%s has the licences %v", c.Name, c.Licenses)
		}
		if !strings.Contains(licences, "\n"+m.Path+" "+m.Version+"\n=") {
			t.Errorf("no licence of %s", m.Path)
		}
	}
}

// unpack unpacks an archive into a folder, and returns its files.
func unpack(t *testing.T, archive []byte, dir string) (files []string) {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uname+h.Gname != "" || h.Uid+h.Gid != 0 || h.ModTime.Unix() != 1790000000 {
			t.Errorf("%s: of %s:%s (%d:%d) at %v", h.Name, h.Uname, h.Gname, h.Uid, h.Gid, h.ModTime)
		}
		content, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, h.FileInfo().Mode()); err != nil {
			t.Fatal(err)
		}
		files = append(files, h.Name)
	}
}
