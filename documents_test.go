package main

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"

	"nitrox/netscaler/simulator"
	"nitrox/sources/all"
	"nitrox/sources/sourcetest"
	"nitrox/sync/config"
)

// documents are the files that people read.
func documents(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}
	for _, dir := range []string{"docs", "examples"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".md") {
				all = append(all, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 12 {
		t.Fatalf("only %d documents were found", len(all))
	}
	return all
}

// block is a fenced block of a document.
type block struct {
	document string
	line     int    // of its fence
	mark     string // the comment right above it
	info     string // what follows the fence: yaml, sh
	text     string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.document, b.line) }

// blocks takes a document apart.
func blocks(t *testing.T, document string) (list []block) {
	t.Helper()
	comment := regexp.MustCompile(`^<!-- (.*) -->$`)
	var open *block
	above := ""
	for i, line := range strings.Split(readFile(t, document), "\n") {
		fence, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fenced && open == nil:
			open = &block{document: document, line: i + 1, info: fence}
			if m := comment.FindStringSubmatch(above); m != nil {
				open.mark = m[1]
			}
		case fenced:
			list, open = append(list, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
		above = line
	}
	if open != nil {
		t.Fatalf("%v: the block does not end", *open)
	}
	return list
}

// A block without a language is output, and output comes out of a command:
//
//	<!-- output: nitrox COMMAND -->
//	<!-- output: nitrox COMMAND, in SITE -->
//	<!-- output: nitrox COMMAND, from "BEGINNING" to "BEGINNING" -->
//
// A site is a folder of testdata/documents. The last form shows a part: from
// the line that begins so up to the next one that does.
func TestOutputsOfDocuments(t *testing.T) {
	sourcetest.Thorough(t)
	marked := regexp.MustCompile("(?s)<!-- output: nitrox ([^\n]*?)(?:, in ([a-z]+))?(?:, from \"([^\n]*)\" to \"([^\n]*)\")? -->\n```([a-z]*)\n(.*?)```\n")
	seen := 0
	for _, document := range documents(t) {
		for _, b := range blocks(t, document) {
			if b.info == "" && !strings.HasPrefix(b.mark, "output: nitrox ") && !strings.HasPrefix(b.mark, "drawing: ") {
				t.Errorf("%v: what does this block show? Say its language, or the command that prints it", b)
			}
		}
		text := []byte(readFile(t, document))
		fresh := marked.ReplaceAllFunc(text, func(found []byte) []byte {
			seen++
			m := marked.FindSubmatch(found)
			command, site, from, to := string(m[1]), string(m[2]), string(m[3]), string(m[4])
			out := printed(t, strings.Fields(command), site)
			if from != "" {
				_, after, begins := strings.Cut("\n"+out, "\n"+from)
				part, _, ends := strings.Cut(after, "\n"+to)
				if !begins || !ends {
					t.Fatalf("%s: %s prints no line that begins with %q, or none after it with %q:\n%s", document, command, from, to, out)
				}
				out = from + part
			}
			mark, _, _ := bytes.Cut(found, []byte("\n"))
			return fmt.Appendf(nil, "%s\n```%s\n%s\n```\n", mark, m[5], strings.Trim(out, "\n"))
		})
		if bytes.Equal(text, fresh) {
			continue
		}
		if !*update {
			t.Errorf("%s shows other output than the commands print; go test -run Documents -update . rewrites it", document)
			continue
		}
		if err := os.WriteFile(document, fresh, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if seen < 4 {
		t.Errorf("the documents show %d outputs", seen)
	}
}

// printed is what a command line prints at a site: the report, or else the
// errors. A site's ns.conf is loaded into a simulated NetScaler, and its folder
// api is an API server's.
func printed(t *testing.T, args []string, site string) string {
	t.Helper()
	address := "127.0.0.1:0"
	env := map[string]string{"NS_USER": "nsroot", "NS_PASSWORD": "nsroot"}
	if site != "" {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata/documents", site))); err != nil {
			t.Fatal(err)
		}
		sim := simulator.New(simulator.Options{})
		if f, err := os.Open(filepath.Join(dir, "ns.conf")); err == nil {
			defer f.Close()
			if err := sim.Load(f); err != nil {
				t.Fatal(err)
			}
		}
		edge := httptest.NewServer(sim)
		defer edge.Close()
		address = edge.Listener.Addr().String()
		cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			http.ServeFile(w, r, filepath.Join(dir, "api", r.URL.Path+".json"))
		}))
		defer cluster.Close()
		env["NETSCALER"], env["MARATHON"], env["KUBECONFIG"] = edge.URL, cluster.URL, filepath.Join(dir, "kubeconfig")
		kubeconfig := fmt.Sprintf("{kind: Config, apiVersion: v1, contexts: [{name: prod, context: {cluster: prod}}], clusters: [{name: prod, cluster: {server: %q}}]}", cluster.URL)
		if err := os.WriteFile(env["KUBECONFIG"], []byte(kubeconfig), 0o600); err != nil {
			t.Fatal(err)
		}
		home, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		t.Chdir(dir)
		defer t.Chdir(home)
	}
	_, out, log := nitrox(t, t.Context(), env, args...)
	if env["NETSCALER"] != "" {
		out = strings.ReplaceAll(out, env["NETSCALER"], "https://192.0.2.10")
		out = strings.ReplaceAll(out, address, "192.0.2.10:80") // in words
	}
	return repeatable(cmp.Or(out, log))
}

// repeatable is an output without what no two runs have the same.
func repeatable(out string) string {
	for pattern, same := range map[string]string{
		`("seconds": )[0-9.]+`:                           "${1}0.042",
		`("id": )"[0-9a-f]{12}"`:                         `${1}"1f2e3d4c5b6a"`,
		`("version": )"[^"]+"`:                           `${1}"v1.2.3"`,
		`,\n +"lasts": [0-9.]+`:                          "",
		`\n +on the NetScaler its state last changed .*`: "",
	} {
		out = regexp.MustCompile(pattern).ReplaceAllString(out, same)
	}
	return out
}

// A block of YAML is a mapping, or a part of one, which loads once the sections
// that it leaves out are added. What is meant for others says so:
//
//	<!-- not a mapping -->
func TestMappingsOfDocumentsLoad(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw})
	loaded := 0
	for _, document := range documents(t) {
		for _, b := range blocks(t, document) {
			if b.info != "yaml" || b.mark == "not a mapping" {
				continue
			}
			loaded++
			dir := t.TempDir()
			text := withFiles(t, b.text, dir, ca) + missingSections(t, b)
			file := filepath.Join(dir, "nitrox.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			lookup := func(name string) (string, bool) {
				return cmp.Or(map[string]string{"DOCKER_HOST": "tcp://192.0.2.22:2376"}[name], "x"), true
			}
			if _, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(all.Kinds); err != nil {
				t.Errorf("%v:\n%v\n%s", b, err, text)
			}
		}
	}
	if loaded < 10 {
		t.Errorf("the documents show %d mappings", loaded)
	}
}

// withFiles makes the files that a mapping names, in dir.
func withFiles(t *testing.T, text, dir string, ca []byte) string {
	t.Helper()
	n := 0
	return regexp.MustCompile(`\b([a-z_]+_file: )(\$\{[A-Z_]+\})?([^,}\s]+)`).ReplaceAllStringFunc(text, func(pair string) string {
		n++
		key, _, _ := strings.Cut(pair, ": ")
		name := filepath.Join(dir, fmt.Sprint("file", n))
		content := []byte("secret\n")
		if key == "ca_file" {
			content = ca
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return key + ": " + name
	})
}

// missingSections are those that a part of a mapping needs to be a whole one.
func missingSections(t *testing.T, b block) string {
	t.Helper()
	var given map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(b.text), &given); err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	named := func(section string) (keys []string) {
		for i, n := range given[section].Content {
			if i%2 == 0 {
				keys = append(keys, n.Value)
			}
		}
		return keys
	}
	var text strings.Builder
	netscalers := named("netscalers")
	if netscalers == nil {
		text.WriteString("netscalers: {edge: {url: https://192.0.2.10}}\n")
		netscalers = []string{"edge"}
	}
	if named("sources") == nil {
		text.WriteString("sources:\n  lab: {file: {path: endpoints.json}}\n  prod: {kubernetes: {}}\n" +
			"  dcos: {marathon: {urls: [http://m1.example.com:8080]}}\n  swarm: {docker: {host: \"unix:///var/run/docker.sock\"}}\n" +
			"  engine: {docker: {host: \"unix:///var/run/docker.sock\", kind: engine}}\n")
	}
	if _, apps := given["apps"]; apps {
		return text.String()
	}
	source, query := "lab", "app: x"
	for i, n := range given["sources"].Content {
		if i%2 == 0 {
			source = n.Value
			continue
		}
		query = map[string]string{"file": "app: x", "kubernetes": "service: a/b", "marathon": "app: /x", "docker": "service: x"}[n.Content[0].Value]
	}
	fmt.Fprintf(&text, "apps: [{name: x, netscaler: [%s], from: [{source: %s, %s}]}]\n", strings.Join(netscalers, ", "), source, query)
	return text.String()
}

// Lines fit a terminal, and prose is wrapped for reading.
func TestDocumentsAreNarrow(t *testing.T) {
	for _, document := range documents(t) {
		code := false
		for i, line := range strings.Split(readFile(t, document), "\n") {
			code = code != strings.HasPrefix(strings.TrimSpace(line), "```")
			limit := 100
			if code || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "<!--") {
				limit = 140
			}
			if strings.Contains(line, "](https://") {
				limit = 140 // a URL cannot be broken
			}
			if n := utf8.RuneCountInString(line); n > limit {
				t.Errorf("%s:%d: %d columns, more than %d", document, i+1, n, limit)
			}
		}
	}
	if n := strings.Count(readFile(t, "README.md"), "\n"); n > 160 {
		t.Errorf("README.md has %d lines, more than 160", n)
	}
}

// A link leads somewhere: to a file, and to a heading in it if it says so.
func TestLinksOfDocuments(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, document := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(readFile(t, document), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(m[1], "#")
			path := document
			if file != "" {
				path = filepath.Join(filepath.Dir(document), file)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: %v", document, m[1], err)
			} else if heading != "" && !slices.Contains(headings(t, path), heading) {
				t.Errorf("%s links to %s, and %s has no such heading: %v", document, m[1], path, headings(t, path))
			}
		}
	}
}

// headings are the anchors of a document, as GitHub makes them.
func headings(t *testing.T, document string) (anchors []string) {
	t.Helper()
	drop := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(readFile(t, document), -1) {
		anchors = append(anchors, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return anchors
}

// A command line of ours in a document has the commands and options that there
// are.
func TestCommandsOfDocuments(t *testing.T) {
	p := &program{}
	app := p.app()
	seen := 0
	for _, document := range documents(t) {
		for _, m := range regexp.MustCompile(`(?m)^\s*(?:\$ )?nitrox ([a-z]+)(.*)$`).FindAllStringSubmatch(readFile(t, document), -1) {
			command := app.Command(m[1])
			if command == nil {
				if m[1] != "help" {
					t.Errorf("%s: there is no command %q in %s", document, m[1], m[0])
				}
				continue
			}
			seen++
			line, _, _ := strings.Cut(m[2], "#")
			line, _, _ = strings.Cut(line, " -- ") // the rest is another program's
			for _, flag := range regexp.MustCompile(`(?:^| )--?([a-z][a-z-]*)`).FindAllStringSubmatch(line, -1) {
				known := slices.ContainsFunc(command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag[1]) })
				if !known {
					t.Errorf("%s: %s has no option %q", document, m[1], flag[1])
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("the documents show %d command lines", seen)
	}
}

// Turns of phrase that keep coming back, and that a native speaker would not
// use: in the documents, and in what the program says.
func TestDocumentsReadPlainly(t *testing.T) {
	odd := regexp.MustCompile(`(?i)\b(anew|lest|whatsoever|is there twice|heard of|of use only|is none of|so it was|(tell|tells|told) of|\w+\s+is\s+no\s+\w+)\b`)
	fine := regexp.MustCompile(`(?i)^(there is no|\w+ is no longer)`)
	for _, document := range append(documents(t), messagesGolden) {
		for _, found := range odd.FindAllString(readFile(t, document), -1) {
			if !fine.MatchString(strings.Join(strings.Fields(found), " ")) {
				t.Errorf("%s: say %q in another way", document, found)
			}
		}
	}
}
