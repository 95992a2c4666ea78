// Release builds what is published of a version: an archive for each platform,
// what is in its binary (CycloneDX), and the checksums of all.
//
//	go run ./docs/release -version v1.2.3 -date 1790000000 -out dist
//
// With -terms it only prints the licences of what is in a binary, for an image.
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
	"strings"
	"time"
)

// documents are in every archive, at these places of it.
var documents = map[string]string{
	"LICENSE":                  "LICENSE",
	"README.md":                "README.md",
	"CHANGELOG.md":             "CHANGELOG.md",
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
	of := flag.String("terms", "", "only print the licences of what is in this `BINARY`")
	flag.Parse()
	if *of != "" && flag.NArg() == 0 {
		if err := printTerms(*of); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *version == "" || *date == 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := release(*version, time.Unix(*date, 0).UTC(), *out, strings.Fields(*targets)); err != nil {
		log.Fatal(err)
	}
}

func release(version string, date time.Time, out string, targets []string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	common, err := collect(documents)
	if err != nil {
		return err
	}
	sums := ""
	for _, target := range targets {
		name := "nitrox_" + version + "_" + strings.ReplaceAll(target, "/", "_")
		binary, err := build(version, target)
		if err != nil {
			return err
		}
		parts, err := libraries(binary)
		if err != nil {
			return err
		}
		list, err := bom(version, date, binary, parts)
		if err != nil {
			return err
		}
		files := append([]file{{"LICENSES-of-dependencies.txt", 0o644, terms(parts)}}, common...)
		pack, archive := tarball, name+".tar.gz"
		if strings.HasPrefix(target, "windows/") {
			pack, archive = zipfile, name+".zip"
			files = append(files, file{"nitrox.exe", 0o755, binary})
		} else {
			files = append(files, file{"nitrox", 0o755, binary})
		}
		packed, err := pack(name, date, files)
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		for _, f := range []file{{archive, 0o644, packed}, {name + ".cdx.json", 0o644, list}} {
			if err := os.WriteFile(filepath.Join(out, f.name), f.content, 0o644); err != nil {
				return err
			}
			sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(f.content), f.name)
		}
		fmt.Printf("%s: %d KB, of which the binary had %d\n", archive, len(packed)/1000, len(binary)/1000)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums), 0o644)
}

func printTerms(path string) error {
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parts, err := libraries(binary)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(terms(parts))
	return err
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
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.tag="+version, "-o", path, ".")
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
