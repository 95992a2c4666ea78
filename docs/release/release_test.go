package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

// Whoever reads a document in an archive finds there what it links to.
func TestLinksLeadToWhatIsInTheArchive(t *testing.T) {
	t.Chdir("../..")
	files, err := collect(documents)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if !strings.HasSuffix(f.name, ".md") {
			continue
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s#]+)`).FindAllStringSubmatch(string(f.content), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := path.Join(path.Dir(f.name), m[1])
			seen++
			if !slices.ContainsFunc(files, func(f file) bool { return f.name == to || strings.HasPrefix(f.name, to+"/") }) {
				t.Errorf("%s links to %s, which is not in the archive", f.name, m[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("the documents have %d links", seen)
	}
}

// Whoever follows the layout from its index finds the image of each platform, and
// whoever reads the list of docker load finds the same blobs.
func TestImageIsOneIndexOfAllPlatforms(t *testing.T) {
	i := image{version: "v1.2.3", revision: "abc", date: time.Unix(1790000000, 0).UTC()}
	for _, target := range []string{"linux/amd64", "linux/arm64"} {
		if err := i.add(target, []file{{"nitrox", 0o755, []byte("for " + target)}, {"LICENSE", 0o644, nil}}); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := i.archive()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	decode := func(name string, into any) {
		t.Helper()
		d := json.NewDecoder(bytes.NewReader(files[name]))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	blob := func(d v1.Descriptor) string {
		t.Helper()
		name := "blobs/sha256/" + d.Digest.Encoded()
		if content, ok := files[name]; !ok || digest.FromBytes(content) != d.Digest || int64(len(content)) != d.Size {
			t.Fatalf("%s: there: %t, %d bytes", name, ok, len(content))
		}
		return name
	}
	var layout v1.ImageLayout
	decode("oci-layout", &layout)
	var outer, index v1.Index
	decode("index.json", &outer)
	if layout.Version != "1.0.0" || len(outer.Manifests) != 1 {
		t.Fatalf("version %s, %d images", layout.Version, len(outer.Manifests))
	}
	decode(blob(outer.Manifests[0]), &index)
	var docker []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode("manifest.json", &docker)
	tags := []string{"nitrox:v1.2.3", "nitrox:v1.2.3-arm64"}
	if len(index.Manifests) != 2 || len(docker) != 2 {
		t.Fatalf("%d platforms in the index, %d for docker load", len(index.Manifests), len(docker))
	}
	for n, processor := range []string{"amd64", "arm64"} {
		var manifest v1.Manifest
		var config v1.Image
		decode(blob(index.Manifests[n]), &manifest)
		decode(blob(manifest.Config), &config)
		platform := v1.Platform{OS: "linux", Architecture: processor}
		if p := index.Manifests[n].Platform; !reflect.DeepEqual(*p, platform) || !reflect.DeepEqual(config.Platform, platform) {
			t.Errorf("%s: index %v, image %v", processor, *p, config.Platform)
		}
		c := config.Config
		if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || c.Labels[v1.AnnotationRevision] != "abc" || c.Entrypoint[0] != "/nitrox" {
			t.Errorf("%s: %+v", processor, c)
		}
		layers := []string{blob(manifest.Layers[0])}
		if d := docker[n]; d.Config != blob(manifest.Config) || !slices.Equal(d.Layers, layers) || !slices.Equal(d.RepoTags, tags[n:n+1]) {
			t.Errorf("%s: docker load reads %+v", processor, d)
		}
	}

	skopeo, err := exec.LookPath("skopeo")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	for n, processor := range []string{"amd64", "arm64"} {
		for _, from := range []string{"oci-archive:" + path, "docker-archive:" + path + ":" + tags[n]} {
			out, err := exec.Command(skopeo, "--override-arch", processor, "inspect", from).CombinedOutput()
			var seen struct{ Architecture string }
			if err != nil || json.Unmarshal(out, &seen) != nil || seen.Architecture != processor {
				t.Errorf("skopeo inspect %s for %s: %v\n%s", from, processor, err, out)
			}
		}
	}
}

// Later commits have later versions, as dpkg orders them.
func TestVersionsOfPackagesAreInOrder(t *testing.T) {
	day := time.Unix(1790000000, 0).UTC()
	var before string
	for n, version := range strings.Fields("3f7d40d-dirty cafe123 v0.9.0 v1.2.3-rc1 v1.2.3-rc1-4-gabc v1.2.3 v1.2.3-14-gabc v1.10.0") {
		got := packageVersion(version, day.Add(time.Duration(n)*time.Second))
		if before != "" {
			dpkg, err := exec.LookPath("dpkg")
			if err != nil {
				t.Skip(err)
			}
			if err := exec.Command(dpkg, "--compare-versions", before, "lt", got).Run(); err != nil {
				t.Errorf("%s is %s, which is not after %s: %v", version, got, before, err)
			}
		}
		before = got
	}
}
