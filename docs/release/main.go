// Release builds what is published of a version: an archive for each platform,
// what is in its binary (CycloneDX), packages for Debian's and Red Hat's kinds of
// Linux, an image of all processors that run Linux, and the checksums of all.
//
//	go run ./docs/release -version v1.2.3 -date 1790000000 -out dist
//
// With -image it builds the image only.
//
// It is run at the top of the repository. The same source, the same version of
// Go and the same arguments give the same bytes, wherever and whenever it runs.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// documents are in every archive, at these places of it.
var documents = map[string]string{
	"LICENSE":                  "LICENSE",
	"README.md":                "README.md",
	"CHANGELOG.md":             "CHANGELOG.md",
	"SECURITY.md":              "SECURITY.md",
	"ARCHITECTURE.md":          "ARCHITECTURE.md",
	"CONTRIBUTING.md":          "CONTRIBUTING.md",
	"docs":                     "docs",
	"examples":                 "examples",
	"deploy":                   "deploy",
	"docs/release/nitrox.1":    "man/nitrox.1",
	"docs/release/nitrox.bash": "completion/nitrox.bash",
	"docs/release/_nitrox":     "completion/_nitrox",
	"docs/release/nitrox.fish": "completion/nitrox.fish",
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	version := flag.String("version", "", "the `VERSION` that the binaries report")
	date := flag.Int64("date", 0, "the date of all files, in `SECONDS` since 1970")
	out := flag.String("out", "dist", "the `FOLDER` to write to; what is in it is removed")
	targets := flag.String("targets", "linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64", "the `PLATFORMS`")
	revision := flag.String("revision", "", "the `COMMIT` that it is built from")
	imageOnly := flag.Bool("image", false, "only build the image")
	flag.Parse()
	if *version == "" || *date == 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	r := release{*version, *revision, time.Unix(*date, 0).UTC(), *out, ""}
	if err := r.build(strings.Fields(*targets), *imageOnly); err != nil {
		log.Fatal(err)
	}
}

// release is what is published of a version.
type release struct {
	version, revision string
	date              time.Time
	out               string // the folder that it is written to
	sums              string // what SHA256SUMS has of it so far
}

func (r *release) build(targets []string, imageOnly bool) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	common, err := collect(documents)
	if err != nil {
		return err
	}
	all := image{version: r.version, revision: r.revision, date: r.date}
	for _, target := range targets {
		binary, err := build(r.version, target)
		if err != nil {
			return err
		}
		parts, err := libraries(binary)
		if err != nil {
			return err
		}
		licences := file{"LICENSES-of-dependencies.txt", 0o644, terms(parts)}
		program := file{"nitrox", 0o755, binary}
		if strings.HasPrefix(target, "linux/") {
			at := slices.IndexFunc(common, func(f file) bool { return f.name == "LICENSE" })
			if err := all.add(target, []file{program, common[at], licences}); err != nil {
				return err
			}
		}
		if imageOnly {
			continue
		}
		if err := r.platform(target, program, parts, append([]file{licences}, common...)); err != nil {
			return err
		}
	}
	if len(all.platforms) > 0 {
		archive, err := all.archive()
		if err != nil {
			return err
		}
		if err := r.publish("nitrox_"+r.version+"_image.tar", archive); err != nil {
			return err
		}
	}
	if !imageOnly {
		if err := r.chart(); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(r.sums), 0o644)
}

// platform publishes what is for one platform only.
func (r *release) platform(target string, program file, parts []library, files []file) error {
	name := "nitrox_" + r.version + "_" + strings.ReplaceAll(target, "/", "_")
	list, err := bom(r.version, r.date, program.content, parts)
	if err != nil {
		return err
	}
	if err := r.publish(name+".cdx.json", list); err != nil {
		return err
	}
	if strings.HasPrefix(target, "windows/") {
		program.name += ".exe"
		content, err := zipfile(name, r.date, append(files, program))
		if err != nil {
			return err
		}
		return r.publish(name+".zip", content)
	}
	files = append(files, program)
	content, err := packed(name, r.date, files)
	if err != nil {
		return err
	}
	if err := r.publish(name+".tar.gz", content); err != nil {
		return err
	}
	processor, linux := strings.CutPrefix(target, "linux/")
	if !linux {
		return nil
	}
	return r.packages(name, processor, files)
}

// publish writes a file, and its line of SHA256SUMS.
func (r *release) publish(name string, content []byte) error {
	r.sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name)
	fmt.Printf("%s: %d KB\n", name, len(content)/1000)
	return os.WriteFile(filepath.Join(r.out, name), content, 0o644)
}

// build returns the static binary for a platform. For macOS and Windows Go makes
// it position-independent. For Linux that would take a dynamic loader, which an
// image from scratch does not have, or a C compiler for each platform, so that
// the bytes would depend on the machine.
func build(version, target string) ([]byte, error) {
	system, processor, _ := strings.Cut(target, "/")
	dir, err := os.MkdirTemp("", "nitrox-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "nitrox")
	// As the Makefile compiles, so that nothing is compiled twice.
	cmd := exec.Command("go", "build", "-trimpath", "-gcflags=all=-dwarf=false", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.tag="+version, "-o", path, ".")
	// What else changes the bytes is said, so that who builds cannot change it.
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build for %s: %w\n%s", target, err, out)
	}
	return os.ReadFile(path)
}

// collect reads files and folders; the keys are where they are, the values
// where they shall be.
func collect(from map[string]string) (files []file, err error) {
	for source, place := range from {
		err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			if path == "docs/release" { // this program
				return fs.SkipDir
			}
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			below, err := filepath.Rel(source, path)
			if err != nil {
				return err
			}
			files = append(files, file{filepath.ToSlash(filepath.Join(place, below)), 0o644, content})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}
