package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// describe is how git describes a commit after a tag: its number and hash.
var describe = regexp.MustCompile(`-([0-9]+)-g`)

// packageVersion is a version in the order of dpkg and rpm: "+" is after what
// precedes it, "~" before. A commit without a tag before it is older than any tag.
func packageVersion(version string, date time.Time) string {
	number, tagged := strings.CutPrefix(version, "v")
	if !tagged {
		return "0~" + date.Format("20060102150405") + "+" + strings.ReplaceAll(version, "-", ".")
	}
	return strings.ReplaceAll(describe.ReplaceAllString(number, "+$1.g"), "-", "~")
}

// packages publishes those for a processor, made of the files of an archive as
// nfpm.yaml says.
func (r *release) packages(name, processor string, files []file) error {
	dir, err := os.MkdirTemp("", "nitrox-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, f := range append(files, file{"netscaler-password", 0o600, nil}) { // the user's to fill in
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.content, f.mode); err != nil {
			return err
		}
	}
	// Of the trees in nfpm.yaml it takes modes, and the dates of folders, as they are here.
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if d.IsDir() {
			mode = 0o755
		}
		return errors.Join(os.Chmod(path, mode), os.Chtimes(path, r.date, r.date))
	})
	if err != nil {
		return err
	}
	for _, kind := range []string{"deb", "rpm"} {
		path := filepath.Join(dir, "nitrox."+kind)
		cmd := exec.Command("go", "tool", "-modfile=testdata/tools/go.mod", "nfpm", "package",
			"--config", "docs/release/nfpm.yaml", "--packager", kind, "--target", path)
		cmd.Env = append(os.Environ(), "FILES="+dir, "ARCH="+processor, "VERSION="+packageVersion(r.version, r.date),
			fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.date.Unix()))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s for %s: %w\n%s", kind, processor, err, out)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := r.publish(name+"."+kind, content); err != nil {
			return err
		}
	}
	return nil
}

// chart publishes the Helm chart, which has the version of the release, as SemVer writes it,
// and installs its image.
func (r *release) chart() error {
	files, err := collect(map[string]string{"deploy/helm/nitrox": ""})
	if err != nil {
		return err
	}
	number, tagged := strings.CutPrefix(r.version, "v")
	if !tagged { // a commit before the first tag
		number = "0.0.0-g" + number
	}
	at := slices.IndexFunc(files, func(f file) bool { return f.name == "Chart.yaml" })
	files[at].content = []byte(strings.NewReplacer("\nversion: 0.0.0 ", "\nversion: "+number+" ", "\nappVersion: latest ", "\nappVersion: \""+r.version+"\" ").
		Replace(string(files[at].content)))
	content, err := packed("nitrox", r.date, files)
	if err != nil {
		return err
	}
	return r.publish("nitrox-"+number+".tgz", content)
}
