package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/licensecheck"
)

// library is one that is in a binary: Go's own, or a module.
type library struct {
	path, version string
	// hash is what go.sum has of the module, as hex: a SHA-256 of the hashes of
	// its files. Go's own library has none.
	hash string
	// terms are the texts of its licences, and licences what they are called
	// (SPDX).
	terms    string
	licences []string
}

// libraries are what the binary itself says that it was made of, Go's own first.
func libraries(binary []byte) ([]library, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	std, err := library{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}.with(strings.TrimSpace(string(root)))
	if err != nil {
		return nil, err
	}
	all := []library{std}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
		if err != nil {
			return nil, fmt.Errorf("download %s: %w", m.Path, err)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			return nil, err
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s: the binary has the hash %q", m.Path, m.Sum)
		}
		l, err := library{path: m.Path, version: m.Version, hash: hex.EncodeToString(sum)}.with(module.Dir)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// licenceFile is what files with terms are called.
var licenceFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|unlicense)(\.(md|txt))?$`)

// with is the library with the terms that are in its folder. One without any, or
// with terms that nobody can name, must not be passed on.
func (l library) with(dir string) (library, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return l, err
	}
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return l, err
		}
		l.terms += strings.ReplaceAll(string(text), "\r\n", "\n") + "\n"
		for _, m := range licensecheck.Scan(text).Match {
			if !slices.Contains(l.licences, m.ID) {
				l.licences = append(l.licences, m.ID)
			}
		}
	}
	if len(l.licences) == 0 {
		return l, fmt.Errorf("%s %s: no licence in %s", l.path, l.version, dir)
	}
	slices.Sort(l.licences)
	return l, nil
}

// terms are those of all libraries, most of which ask that they be passed on.
func terms(libraries []library) []byte {
	var all bytes.Buffer
	for _, l := range libraries {
		title := l.path + " " + l.version
		if l.path == "std" {
			title = "Go's standard library " + l.version
		}
		fmt.Fprintf(&all, "%s\n%s\n\n%s\n", title, strings.Repeat("=", len(title)), l.terms)
	}
	return all.Bytes()
}

// component is one of a software bill of materials (CycloneDX 1.6, JSON).
func component(kind, name, version, purl, sha256 string, licences ...string) map[string]any {
	c := map[string]any{"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
	if sha256 != "" {
		c["hashes"] = []map[string]string{{"alg": "SHA-256", "content": sha256}}
	}
	var terms []map[string]any
	for _, id := range licences {
		terms = append(terms, map[string]any{"license": map[string]string{"id": id}})
	}
	c["licenses"] = terms
	return c
}

// bom lists the libraries in a binary, so that scanners can compare them with
// what is known to be vulnerable.
func bom(version string, date time.Time, binary []byte, libraries []library) ([]byte, error) {
	var parts []map[string]any
	for _, l := range libraries {
		purl := "pkg:golang/" + l.path + "@" + strings.ReplaceAll(l.version, "+", "%2B")
		parts = append(parts, component("library", l.path, l.version, purl, l.hash, l.licences...))
	}
	sum := sha256.Sum256(binary)
	id := sum // a UUID of version 8 (RFC 9562), the same for the same binary
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return json.MarshalIndent(map[string]any{
		"bomFormat":    "CycloneDX",
		"specVersion":  "1.6",
		"serialNumber": fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		"version":      1,
		"metadata": map[string]any{
			"timestamp": date.Format(time.RFC3339),
			"component": component("application", "nitrox", version, "pkg:generic/nitrox@"+version, hex.EncodeToString(sum[:]), "Apache-2.0"),
		},
		"components": parts,
	}, "", "  ")
}
