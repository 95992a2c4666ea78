package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"nitrox/bounds"
)

// maxSize is far above any mapping: 10,000 apps are about 3 MB.
const maxSize = 10 << 20

// document reads the file and returns its one YAML document, in which all
// nodes are plain mappings, lists and scalars; or nil, and there are problems.
func (d *decoder) document() *yaml.Node {
	text, err := read(d.file)
	if err != nil {
		d.add(0, 0, err.Error())
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !d.readable(text) {
		return nil
	}
	root, err := d.parse(text)
	switch {
	case err != nil:
		d.syntax(text, err)
		return nil
	case root == nil:
		d.add(0, 0, "the file is empty; a mapping has netscalers, sources and apps")
		return nil
	}
	d.plain(root)
	if len(d.problems) > 0 {
		return nil
	}
	return root
}

// read returns the content of file.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no such file; give the mapping file with --config or NITROX_CONFIG, or run \"nitrox demo\" to see one at work")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("is a directory; give the mapping file in it with --config")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("is larger than %d MB, too large for a mapping file", maxSize>>20)
	}
	return text, bounds.YAML(text)
}

// readable finds what is not text. Without it, yaml.v3 counts lines as an
// editor does.
func (d *decoder) readable(text []byte) bool {
	line, column := 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.add(line, column, "is not UTF-8 from here on; save the file as UTF-8")
			return false
		case invisible(r), r == '\r' && !bytes.HasPrefix(text[i:], []byte("\r\n")):
			d.add(line, column, fmt.Sprintf("contains the invisible character %U; remove it", r))
			return false
		}
		i += size
		if r == '\n' {
			line, column = line+1, 1
		} else {
			column++
		}
	}
	return true
}

func invisible(r rune) bool {
	if strings.ContainsRune("\t\r\n", r) {
		return false
	}
	return unicode.IsControl(r) || strings.ContainsRune("\u2028\u2029\ufeff\ufffe\uffff", r)
}

// parse returns the root of the first document, nil if there is none. Any
// further document is a problem.
func (d *decoder) parse(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case err == io.EOF:
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == io.EOF:
	case err != nil:
		return nil, err
	default:
		d.problem(&second, "a second document begins here; a mapping file has only one")
	}
	root := first.Content[0]
	if null(root) && len(d.problems) == 0 {
		return nil, nil
	}
	return root, nil
}

var (
	atLine        = regexp.MustCompile(`^line (\d+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntax reports text that is not YAML, in an operator's words where yaml.v3
// is obscure. It repeats nothing of the text, which may be a password.
func (d *decoder) syntax(text []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	lines := strings.Split(string(text), "\n")
	line := 1
	if m := atLine.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		line, _ = strconv.Atoi(m[1]) // the pattern has digits only
		line = min(max(line, 1), len(lines))
	}
	// yaml.v3 is off by a line at times.
	for i := max(line-2, 0); i < min(line+1, len(lines)); i++ {
		rest := strings.TrimLeft(lines[i], " ")
		if strings.HasPrefix(rest, "\t") && strings.TrimSpace(rest) != "" {
			d.add(i+1, len(lines[i])-len(rest)+1, "a tab indents this line; YAML is indented with spaces")
			return
		}
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		// Of this one yaml.v3 does not tell the line.
		column := 1
		for i, text := range lines {
			if before, _, found := strings.Cut(text, "*"+m[1]); found {
				line, column = i+1, utf8.RuneCountInString(before)+1
				break
			}
		}
		d.add(line, column, aliases)
		return
	}
	switch {
	case message == "found character that cannot start any token":
		message = "a value begins with a character that YAML keeps for itself (@, `, % or a tab); quote the value"
	case message == "mapping values are not allowed in this context":
		message = "a \": \" where there can be no key; check the indentation, or quote the value"
	default:
		message = "is not YAML: " + message + "; check the indentation, brackets and quotes, here and in the lines above"
	}
	d.add(line, 1, message)
}

const aliases = "anchors, aliases and merge keys are not supported; put common settings under defaults, and quote text that begins with & or *"

// plain refuses what makes a node something else than it looks: aliases (a
// small file can stand for billions of nodes), merge keys and tags.
func (d *decoder) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Tag == "!!merge":
		d.problem(n, aliases)
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.problem(n, "tags are not supported; quote text that begins with !")
		return
	}
	for _, c := range n.Content {
		d.plain(c)
	}
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
