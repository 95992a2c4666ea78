package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"gopkg.in/yaml.v3"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/textfile"
	"nitrox/sources/textfile/syntax"
)

// node is a value of a JSON or YAML file. Unlike a Go map it keeps a key that
// is there twice, which must not be taken for either of the two.
type node struct {
	*parts        // of a list or a map
	text   string // of a scalar, as written but for quotes
	line   int32
	kind   kind
}

// parts are apart, since most nodes are scalars.
type parts struct {
	items []node // of a list
	pairs []pair // of a map
}

type pair struct {
	line  int32
	key   string
	value node
}

type kind uint8

const (
	null kind = iota
	scalar
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "a plain value", "a list", "an object"}[k]
}

// get gives the value of a key, an error if the key is there more than once,
// and ok false if it is not there.
func (n node) get(key string) (value node, ok bool, err error) {
	for _, p := range n.pairs {
		if p.key != key {
			continue
		}
		if ok {
			return node{}, false, fmt.Errorf("%q is given twice", key)
		}
		value, ok = p.value, true
	}
	return value, ok, nil
}

// maxDepth is more than any file of endpoints nests.
const maxDepth = 16

var errMany = fmt.Errorf("%w for a file of endpoints: what is in it takes too much memory; write fewer endpoints, or raise GOMEMLIMIT "+
	"(docs/limits.md)", bounds.ErrTooLarge)

var errDeep = errors.New("nested too deeply for a file of endpoints; check the brackets and the indentation")

// parseTree reads the file. What is wrong with it as a whole is a [textfile.Error],
// if it is in one place.
func parseTree(data []byte) (node, error) {
	data, err := textfile.Plain(data)
	if err != nil {
		return node{}, err
	}
	start := bytes.TrimLeft(data, " \t\r\n")
	if len(start) == 0 {
		return node{}, errors.New("the file is empty")
	}
	if start[0] == '<' {
		return node{}, errors.New("begins with <, as a web page does; write the endpoints as JSON or YAML")
	}
	if start[0] == '{' || start[0] == '[' {
		return parseJSON(data)
	}
	return parseYAML(data)
}

// perNode is the memory that a node takes, since lists grow by copying, and the endpoint
// that is made of it.
var perNode = int64(2*reflect.TypeFor[pair]().Size() + reflect.TypeFor[sources.Endpoint]().Size())

func parseJSON(data []byte) (node, error) {
	// Offsets only grow, so lines are counted once.
	line, seen := int32(1), 0
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var memory bounds.Memory
	taken := int64(0)
	next := func() (json.Token, error) {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, syntax.JSON(data, err)
		}
		at := int(d.InputOffset())
		line += int32(bytes.Count(data[seen:at], []byte{'\n'}))
		seen = at
		return t, nil
	}
	var value func(t json.Token, depth int) (node, error)
	value = func(t json.Token, depth int) (node, error) {
		if depth > maxDepth {
			return node{}, errDeep
		}
		n := node{line: line}
		switch t := t.(type) {
		case json.Delim:
			n.kind, n.parts = object, &parts{}
			if t == '[' {
				n.kind = list
			}
			for d.More() {
				t, err := next()
				if err != nil {
					return node{}, err
				}
				key, at := "", line
				if n.kind == object {
					key = t.(string) // the decoder gives nothing else here
					if t, err = next(); err != nil {
						return node{}, err
					}
				}
				v, err := value(t, depth+1)
				if err != nil {
					return node{}, err
				}
				if taken += perNode + int64(len(key)+len(v.text)); memory.Keep(taken) != nil {
					return node{}, fmt.Errorf("line %d: %w", line, errMany)
				}
				if n.kind == object {
					n.pairs = append(n.pairs, pair{at, key, v})
				} else {
					n.items = append(n.items, v)
				}
			}
			_, err := next() // the closing delimiter
			return n, err
		case nil:
			return n, nil
		case string:
			n.kind, n.text = scalar, t
			return n, nil
		default:
			n.kind, n.text = scalar, fmt.Sprint(t)
			return n, nil
		}
	}
	t, err := next()
	if err != nil {
		return node{}, err
	}
	root, err := value(t, 0)
	if err != nil {
		return node{}, err
	}
	if rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		line, column := syntax.Position(data, len(data)-len(rest))
		return node{}, &textfile.Error{Line: line, Column: column, Message: "there is more after the end of the JSON value; remove it, or put several into one list"}
	}
	return root, nil
}

func parseYAML(data []byte) (node, error) {
	if err := bounds.YAML(data); err != nil {
		return node{}, fmt.Errorf("%w, or as JSON", err)
	}
	content := bytes.TrimRight(data, " \t\r\n")
	if at := bytes.LastIndexByte(content, '\n'); string(content[at+1:]) != "..." {
		return node{}, errors.New(`a YAML file must end with a line of three dots ("..."); without it a truncated file looks complete`)
	}
	if err := textfile.Visible(content); err != nil {
		return node{}, err
	}
	if len(bytes.Trim(content, ". \t\r\n")) == 0 {
		return node{}, errors.New("the file is empty")
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return node{}, errors.New("the file is empty")
	case err != nil:
		return node{}, syntax.YAML(content, err)
	}
	switch err := d.Decode(&second); {
	case err == nil:
		return node{}, &textfile.Error{Line: second.Line, Column: second.Column, Message: "a second document begins here, and a file of endpoints has only one; remove it"}
	case !errors.Is(err, io.EOF):
		return node{}, syntax.YAML(content, err)
	}
	return fromYAML(document.Content[0], 0)
}

func fromYAML(y *yaml.Node, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errDeep
	}
	n := node{line: int32(y.Line)}
	switch y.Kind {
	case yaml.ScalarNode:
		if y.Tag != "!!null" {
			n.kind, n.text = scalar, y.Value
		}
	case yaml.SequenceNode:
		n.kind, n.parts = list, &parts{}
		for _, item := range y.Content {
			v, err := fromYAML(item, depth+1)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, v)
		}
	case yaml.MappingNode:
		n.kind, n.parts = object, &parts{}
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			if key.Kind != yaml.ScalarNode {
				return node{}, fmt.Errorf("line %d: a key must be plain text", key.Line)
			}
			v, err := fromYAML(y.Content[i+1], depth+1)
			if err != nil {
				return node{}, err
			}
			n.pairs = append(n.pairs, pair{int32(key.Line), key.Value, v})
		}
	default:
		return node{}, fmt.Errorf("line %d: anchors and aliases are not supported in a file of endpoints", y.Line)
	}
	return n, nil
}
