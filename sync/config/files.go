package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	stdsync "sync"
	"syscall"

	"gopkg.in/yaml.v3"

	"nitrox/sources/bounds"
)

// Files are those of one mapping: what Names names, and what that includes.
type Files struct {
	// Names are of files and folders. Of a folder, its *.yaml and *.yml files are meant.
	Names []string
	// Lookup is the environment ([os.LookupEnv]).
	Lookup func(string) (string, bool)

	mu stdsync.Mutex
	// includes are the include sections of texts that were parsed before, so that a
	// look at files that have not changed parses none.
	includes map[[sha256.Size]byte][]*yaml.Node
	// good is what files with limits said when they had no problems.
	good map[string][]byte
}

// String names them for a person.
func (f *Files) String() string { return strings.Join(f.Names, ", ") }

// Text stands for what the files say: those with limits, and the others, so that two looks at
// the same files are equal.
type Text struct{ Limited, Others [sha256.Size]byte }

// Text is what all files say, whether or not it is right. An error is about files that the
// mapping cannot be without.
func (f *Files) Text() (t Text, unread error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limited, others := sha256.New(), sha256.New()
	for _, d := range f.gather(true) {
		text := others
		if d.limits != nil {
			text = limited
		} else if d.unread != nil && unread == nil {
			unread = fmt.Errorf("%s: %w", d.file, d.unread)
		}
		fmt.Fprintf(text, "%q %d %v\n", d.file, len(d.content), d.unread)
		text.Write(d.content)
	}
	limited.Sum(t.Limited[:0])
	others.Sum(t.Others[:0])
	return t, unread
}

const (
	// maxFiles is far above any mapping: a file for each of ten thousand apps.
	maxFiles = 10_000
	// maxLimited and maxLimitedValues bound a file with limits: about 1,500 apps.
	// Several such files are far from being all that a mapping may be.
	maxLimited       = 1 << 20
	maxLimitedValues = bounds.MaxValues / 10
	// maxLimitedFiles bounds those of an include entry with limits.
	maxLimitedFiles = maxFiles / 5
)

// gathering reads the files of a mapping.
type gathering struct {
	*Files
	glance bool // what was parsed before need not be again
	all    []*decoder
	size   int
	values int
	seen   map[string]place // by the file that a name leads to
}

// gather reads all files, in the order in which they count: what a file includes
// comes after it. Each is parsed, or at a glance only as far as it may include others.
func (f *Files) gather(glance bool) []*decoder {
	if f.includes == nil {
		f.includes, f.good = map[[sha256.Size]byte][]*yaml.Node{}, map[string][]byte{}
	}
	g := &gathering{Files: f, glance: glance, seen: map[string]place{}}
	for _, name := range f.Names {
		files, err := inFolder(name)
		for _, file := range files {
			d := g.add(file, nil, nil, nil)
			switch {
			case d == nil:
				continue
			case err != nil:
				d.fail(err)
			default:
				d.take(read(file))
			}
			g.parse(d)
		}
	}
	for _, d := range g.all {
		if !glance && d.by != nil && d.unread == nil {
			d.root = d.text(d.content)
		}
	}
	return g.all
}

// inFolder are the mapping files in a folder, by name; of anything else, itself. Hidden
// files and what editors leave behind are none.
func inFolder(name string) (files []string, err error) {
	itself := []string{name}
	switch info, err := os.Stat(name); {
	case name == "": // of an unset variable beside a colon: the file that it stands for is not left out in silence
		return []string{"NITROX_CONFIG"}, errors.New("one of its names is empty; name a file there, or remove the extra colon")
	case errors.Is(err, fs.ErrNotExist):
		return itself, errors.New(`no such file; give the mapping file with --config or NITROX_CONFIG, or run "nitrox demo" to see one at work`)
	case err != nil || !info.IsDir():
		return itself, nil // reading it says what is wrong
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return itself, unreadable(err)
	}
	for _, e := range entries {
		if extension := strings.ToLower(filepath.Ext(e.Name())); e.Name()[0] != '.' && (extension == ".yaml" || extension == ".yml") {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	if files == nil {
		return itself, errors.New("there is no *.yaml or *.yml file in this folder; name the one that has them")
	}
	return files, nil
}

// add adds a file that an include entry n of by names, or nobody but the command line. It
// is nil if it was named before, by whichever limits: which hold is not guessed; or if there
// are too many.
func (g *gathering) add(file string, by *decoder, n *yaml.Node, l *limits) *decoder {
	d := &decoder{file: file, dir: filepath.Dir(file), lookup: g.Lookup, hidden: map[*yaml.Node][]hidden{}, by: by, limits: l}
	d.named = place{file: "the command line"}
	if by != nil {
		d.named = by.place(n)
	}
	name, err := filepath.Abs(file)
	if err != nil {
		d.fail(err)
	}
	first, twice := g.seen[name]
	switch {
	case len(g.all) > maxFiles:
		return nil // the first that is too many says so
	case twice && by != nil:
		by.problem(n, "%s is included twice, first by %s; include it once", file, first)
		return nil
	case twice:
		d.fail(fmt.Errorf("is named twice, first by %s; name it once", first))
	case len(g.all) == maxFiles:
		d.fail(fmt.Errorf("a mapping may have %d files; put several apps into each", maxFiles))
	}
	g.seen[name] = d.named
	g.all = append(g.all, d)
	return d
}

// parse parses a file that the command line names, and adds the files that it includes.
func (g *gathering) parse(d *decoder) {
	if g.makeRoom(d); d.unread != nil {
		return
	}
	sum := sha256.Sum256(d.content)
	included, known := g.includes[sum]
	if !g.glance || !known {
		if d.root = d.text(d.content); d.root == nil {
			return
		}
		if n := find(d.root, "include"); n != nil && n.Kind == yaml.SequenceNode {
			included = n.Content
		}
		g.includes[sum] = included
	}
	for _, n := range included {
		g.include(d, n)
	}
}

// makeRoom counts a file, and refuses others while all are too large: of those with limits,
// where there are any, the largest of the include entry that has most, so that no team takes
// the room of the others.
func (g *gathering) makeRoom(d *decoder) {
	if d.unread != nil {
		return
	}
	d.values = bounds.Values(d.content)
	g.size += len(d.content)
	g.values += d.values
	if d.limits != nil {
		d.limits.room += d.room()
	}
	for g.size > maxSize || g.values > bounds.MaxValues {
		largest := d
		for _, o := range g.all {
			if o.limits != nil && o.unread == nil && (largest.limits == nil ||
				cmp.Or(cmp.Compare(o.limits.room, largest.limits.room), cmp.Compare(o.room(), largest.room())) > 0) {
				largest = o
			}
		}
		if largest.limits != nil {
			largest.limits.room -= largest.room()
		}
		g.size -= len(largest.content)
		g.values -= largest.values
		largest.content = nil
		largest.fail(fmt.Errorf("all files of the mapping together have more than %d MB or %d lines, commas, colons and the like; divide them among several processes",
			maxSize>>20, bounds.MaxValues))
	}
}

// room is how much the file takes of what all files may have, of which the bytes and the
// values count alike.
func (d *decoder) room() int { return d.values + len(d.content)/(maxSize/bounds.MaxValues) }

// includeKeys are the keys of an include entry, beside limits.
type includeKeys struct {
	File string `yaml:"file"`
}

// include adds the files of an include entry of by.
func (g *gathering) include(by *decoder, n *yaml.Node) {
	var k includeKeys
	l := &limits{node: n, by: by}
	if n.Kind == yaml.ScalarNode {
		l = nil
		if !by.scalar(n, "include", reflect.ValueOf(&k.File).Elem()) {
			return
		}
	} else {
		l.object = by.object(n, "an include entry", &k, &l.limitKeys)
		switch {
		case l.object == nil || l.object.wrong["file"]:
			return
		case k.File == "":
			by.missing(l.object, "file", `write "file: teams/shop.yaml"`)
			return
		case len(l.object.values) == 1:
			l = nil // nothing is limited
		default:
			l.check()
		}
	}
	base, files, err := fitting(by.dir, k.File)
	if err != nil && (l == nil || base == "") {
		by.problem(n, "include: %s %v", quote(k.File), err)
	} else if err != nil {
		files = []string{filepath.Join(by.dir, k.File)}
	}
	size := 0
	for i, file := range files {
		full := l != nil && (i == maxLimitedFiles || size > 10*maxSize)
		d := g.add(file, by, n, l)
		switch {
		case d == nil:
			continue
		case err != nil:
			d.fail(err)
		case full:
			d.fail(fmt.Errorf("it and those after it are too many: an include entry with limits may have %d files, and %d MB; remove some, or divide them among entries",
				maxLimitedFiles, 10*maxSize>>20))
		case l == nil:
			d.take(read(file))
		default:
			d.take(within(base, file))
		}
		size += len(d.content)
		if g.makeRoom(d); full {
			break
		}
	}
}

// fitting are the files that a name or a pattern stands for, seen from a folder, by name; and
// the folder which they are all in, that no wildcard stands for. It is "" if the pattern is
// wrong, or nobody knows what fits. What is hidden fits only where the pattern begins with a
// dot, too.
func fitting(folder, pattern string) (base string, files []string, err error) {
	name := pattern
	if !filepath.IsAbs(name) {
		name = filepath.Join(folder, name)
	}
	const wild = `*?[\`
	if !strings.ContainsAny(pattern, wild) {
		return filepath.Dir(name), []string{name}, nil
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return "", nil, errors.New("is not a pattern; write it like teams/*.yaml")
	}
	if strings.Contains(pattern, "**") {
		return "", nil, errors.New("has **, which is not supported; write one * for each folder")
	}
	elements := strings.Split(filepath.Clean(pattern), "/")
	first := slices.IndexFunc(elements, func(e string) bool { return strings.ContainsAny(e, wild) })
	if base = filepath.Join(elements[:first]...); filepath.IsAbs(pattern) {
		base = "/" + base
	} else {
		base = filepath.Join(folder, base)
	}
	files = []string{base}
	for _, element := range elements[first:] {
		var next []string
		for _, in := range files {
			entries, err := os.ReadDir(in)
			switch {
			case err != nil && in == base:
				return "", nil, fmt.Errorf("cannot be looked for in %s: %w", base, unreadable(err))
			case errors.Is(err, syscall.ENOTDIR): // a file beside folders
			case err != nil:
				next = append(next, filepath.Join(in, element)) // reading it says what is wrong, of this one alone
			}
			for _, e := range entries {
				if ok, _ := filepath.Match(element, e.Name()); ok && (e.Name()[0] != '.' || element[0] == '.') {
					next = append(next, filepath.Join(in, e.Name()))
				}
			}
		}
		files = next
	}
	if len(files) == 0 {
		return base, nil, errors.New("fits no file; correct it, or remove it")
	}
	return base, files, nil
}

// within reads a file with limits. Whoever writes it must not have Nitrox read anything
// else: of a text that is no mapping, messages show a line. So it is a file of its name in its
// folder, also by symbolic links, as Kubernetes makes them.
func within(base, file string) ([]byte, error) {
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, unreadable(err)
	}
	defer root.Close()
	name, err := filepath.Rel(base, file)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	var failed *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, unreadable(err)
	case errors.As(err, &failed): // package os does not name the error of a path that leads out
		return nil, fmt.Errorf("cannot be opened in %s: %w; a file with limits must be in that folder, also where it is a symbolic link", base, failed.Err)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(err)
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file; a file with limits must be one")
	}
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil, unreadable(err)
	}
	if is, err := os.Lstat(target); err != nil || filepath.Base(target) != filepath.Base(file) || !os.SameFile(info, is) {
		return nil, errors.New("is a symbolic link to a file of another name; include that file by its own name")
	}
	text, err := bounds.ReadOpen(f, maxLimited)
	if err == nil && bounds.Values(text) > maxLimitedValues || errors.Is(err, bounds.ErrTooLarge) {
		return nil, fmt.Errorf("has more than %d MB or %d lines, commas, colons and the like, too many for a file with limits; split it",
			maxLimited>>20, maxLimitedValues)
	}
	return text, unreadable(err)
}

// take takes what was read of the file.
func (d *decoder) take(content []byte, err error) {
	switch {
	case d.unread != nil:
	case err != nil:
		d.fail(err)
	default:
		d.content = content
	}
}

// fail notes that the file cannot be read.
func (d *decoder) fail(err error) {
	if d.unread = err; d.by != nil {
		err = fmt.Errorf("included by %s: %w", d.named, err)
	}
	d.add(0, 0, err.Error())
}

// place is where something stands in the files of a mapping.
type place struct {
	file string
	line int // 0: the whole file
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// place is that of a node.
func (d *decoder) place(n *yaml.Node) place { return place{d.file, n.Line} }

// seen is a place as the file's messages name it: short where it is in the file itself.
func (d *decoder) seen(p place) string {
	if p.file == d.file {
		return fmt.Sprintf("line %d", p.line)
	}
	return p.String()
}

// on says that something is at such a place.
func (d *decoder) on(p place) string {
	if p.file == d.file {
		return "on " + d.seen(p)
	}
	return "at " + d.seen(p)
}

// digest is the SHA-256 of a file, in hexadecimal; of several, that of their digests,
// each in a line: what sha256sum FILE... | cut -c-64 | sha256sum prints.
func digest(all []*decoder) string {
	var lines strings.Builder
	for _, d := range all {
		fmt.Fprintf(&lines, "%x\n", sha256.Sum256(d.content))
	}
	if len(all) == 1 {
		return strings.TrimSpace(lines.String())
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(lines.String())))
}
