package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// modules are those that are in a binary.
func modules(binary []byte) (*debug.BuildInfo, []*debug.Module, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, nil, err
	}
	var all []*debug.Module
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		all = append(all, m)
	}
	return info, all, nil
}

// component is one of a software bill of materials (CycloneDX 1.6, JSON).
type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Purl    string `json:"purl"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

func goModule(path, version string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Type: "library", Ref: purl, Name: path, Version: version, Purl: purl}
}

// bom lists what the binary itself says it was made of, so that scanners can
// compare it with what is known to be vulnerable.
func bom(version string, date time.Time, binary []byte) ([]byte, error) {
	info, deps, err := modules(binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(binary)
	id := sum // a UUID of version 8 (RFC 9562), the same for the same binary
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	libraries := []component{goModule("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range deps {
		libraries = append(libraries, goModule(m.Path, m.Version))
	}
	purl := "pkg:generic/nitrox@" + version
	return json.MarshalIndent(map[string]any{
		"bomFormat":    "CycloneDX",
		"specVersion":  "1.6",
		"serialNumber": fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		"version":      1,
		"metadata": map[string]any{
			"timestamp": date.Format(time.RFC3339),
			"component": component{Type: "application", Ref: purl, Name: "nitrox", Version: version, Purl: purl,
				Hashes: []hash{{"SHA-256", fmt.Sprintf("%x", sum)}}},
		},
		"components": libraries,
	}, "", "  ")
}

// licence is what files with terms are called.
var licence = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|unlicense)(\.(md|txt))?$`)

// licences are the terms of all that is in the binary, which most of them ask
// to be passed on.
func licences(binary []byte) ([]byte, error) {
	_, deps, err := modules(binary)
	if err != nil {
		return nil, err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	type place struct{ name, dir string }
	places := []place{{"Go's standard library", strings.TrimSpace(string(root))}}
	for _, m := range deps {
		out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
		if err != nil {
			return nil, fmt.Errorf("download %s: %w", m.Path, err)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			return nil, err
		}
		places = append(places, place{m.Path + " " + m.Version, module.Dir})
	}
	var all bytes.Buffer
	for _, p := range places {
		found, err := terms(p.dir)
		if err != nil {
			return nil, err
		}
		if found == "" {
			return nil, fmt.Errorf("%s: no licence in %s", p.name, p.dir)
		}
		fmt.Fprintf(&all, "%s\n%s\n\n%s\n", p.name, strings.Repeat("=", len(p.name)), found)
	}
	return all.Bytes(), nil
}

// terms are the texts of a module's licences.
func terms(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	text := ""
	for _, e := range entries {
		if e.IsDir() || !licence.MatchString(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		text += strings.ReplaceAll(string(content), "\r\n", "\n") + "\n"
	}
	return text, nil
}
