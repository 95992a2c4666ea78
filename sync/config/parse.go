package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

	"gopkg.in/yaml.v3"

	"nitrox/sources/bounds"
	"nitrox/sources/textfile"
	"nitrox/sources/textfile/syntax"
)

// maxSize is far above any mapping: 10,000 apps are about 3 MB.
const maxSize = 10 << 20

// text returns the one YAML document that a file holds, in which all nodes are plain
// mappings, lists and scalars; or nil, and there are problems.
func (d *decoder) text(content []byte) *yaml.Node {
	content, err := textfile.Plain(content)
	if err == nil {
		err = textfile.Visible(content)
	}
	if err != nil {
		d.broken(err)
		return nil
	}
	root, err := d.parse(content)
	switch {
	case err != nil:
		d.broken(syntax.YAML(content, err))
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

// broken reports a text that cannot be read.
func (d *decoder) broken(err error) {
	problem := Problem{File: d.file, Message: err.Error()}
	var at *textfile.Error
	if errors.As(err, &at) {
		problem.Line, problem.Column, problem.Message, problem.Excerpt = at.Line, at.Column, at.Message, at.Excerpt
	}
	d.problems = append(d.problems, problem)
}

// read returns the content of file.
func read(file string) ([]byte, error) {
	text, err := bounds.ReadUpTo(file, maxSize)
	if err != nil {
		return nil, unreadable(err)
	}
	return text, bounds.YAML(text)
}

// unreadable is why a file cannot be read; the problem names the file.
func unreadable(err error) error {
	var failed *fs.PathError
	switch {
	case errors.Is(err, bounds.ErrTooLarge):
		return fmt.Errorf("is larger than %d MB, too large for a mapping file", maxSize>>20)
	case errors.Is(err, syscall.EISDIR):
		return errors.New("is a folder; name a file in it, or include those that fit a pattern, such as teams/*.yaml")
	case errors.As(err, &failed):
		return bounds.Unread(failed.Err)
	}
	return err
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
		d.problem(&second, "a second document begins here, and a mapping file has only one; remove it")
	}
	root := first.Content[0]
	if null(root) && len(d.problems) == 0 {
		return nil, nil
	}
	return root, nil
}

// plain refuses what makes a node something else than it looks: aliases (a
// small file can stand for billions of nodes), merge keys and tags.
func (d *decoder) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Tag == "!!merge":
		d.problem(n, syntax.Aliases)
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.problem(n, syntax.Tags)
		return
	case n.Kind == yaml.ScalarNode && n.Style == 0 && strings.IndexAny(n.Value, "“”„‟‘’‚‛«»") == 0:
		d.problem(n, "a typographic quotation mark; write \" or '")
		return
	case n.Kind == yaml.ScalarNode && n.Style == 0 && strings.ContainsFunc(n.Value, func(r rune) bool { return r > unicode.MaxASCII && unicode.IsSpace(r) }):
		d.problem(n, "contains a blank that is not a space; replace it by a space")
		return
	}
	for _, c := range n.Content {
		d.plain(c)
	}
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
