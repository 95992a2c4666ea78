package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

var (
	variable     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	onlyVariable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// expand replaces each ${NAME} of text by the variable's value, which is not
// looked at again. $${ stands for a literal ${, and any other $ for itself.
// Errors never hold a value.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		switch {
		case !closed:
			return "", fmt.Errorf("${ is not closed by }; for a literal ${ write $${")
		case !variable.MatchString(name):
			return "", fmt.Errorf("%s is not the name of a variable: use letters, digits and _ only, and no default; for a literal ${ write $${", quote(name))
		}
		value, set := lookup(name)
		if !set {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		b.WriteString(value)
		text = rest
	}
}

// hidden is a text that came of variables, and what the file says instead.
type hidden struct{ text, instead string }

// expand is expand for the text of a node; what comes of its variables is
// remembered.
func (d *decoder) expand(n *yaml.Node) (string, error) {
	var hide []hidden
	text, err := expand(n.Value, func(name string) (string, bool) {
		value, set := d.lookup(name)
		hide = append(hide, hidden{value, "${" + name + "}"})
		return value, set
	})
	if len(hide) > 0 && d.limits != nil {
		return "", fmt.Errorf("this file has limits (%s), so it may not read the environment; write the value itself, or $${ for a literal ${", d.limits.at())
	}
	if len(hide) > 0 {
		d.hidden[n] = append([]hidden{{text, n.Value}}, hide...)
	}
	return text, err
}

// userinfo is what may be a user and a password in a URL, or in what should
// have been one.
var userinfo = regexp.MustCompile(`[^\s"'/:]*:[^\s"']*@`)

// hide makes a source's message fit to be shown. What came of variables in the
// nodes is replaced by what the file says, and the password of a URL, which a
// source that refuses it is apt to quote, is left out.
func (d *decoder) hide(message string, nodes ...*yaml.Node) string {
	var all []hidden
	for _, n := range nodes {
		all = append(all, d.hidden[n]...)
	}
	// The longest first: a shorter one may be a part of it.
	slices.SortStableFunc(all, func(a, b hidden) int { return len(b.text) - len(a.text) })
	for _, h := range all {
		if h.text == "" {
			continue
		}
		quoted := strconv.Quote(h.text)
		for _, text := range []string{quoted[1 : len(quoted)-1], h.text} {
			pattern := regexp.QuoteMeta(text)
			if len(text) < 4 {
				// A "1" is a part of many words and numbers.
				pattern = `\b` + pattern + `\b`
			}
			message = regexp.MustCompile(pattern).ReplaceAllLiteralString(message, h.instead)
		}
	}
	return userinfo.ReplaceAllString(message, "***@")
}
