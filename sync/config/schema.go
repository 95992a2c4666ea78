package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"nitrox/sources"
)

// schema is a JSON Schema, or a part of one.
type schema map[string]any

// Schema is the JSON Schema of a mapping file, of draft 2020-12, for editors: of
// the structs that a file is decoded into, with what reference, the text of
// docs/mapping.md, says of each key. A file that [Load] takes is right by it. The
// reverse cannot be: it does not know which names are defined, files, and most of
// what goes with what.
func Schema(kinds []sources.Kind, reference string) ([]byte, error) {
	said := tables(reference)
	kindOf, queries := schema{}, []schema{}
	for _, k := range kinds {
		kindOf[k.Name] = objectOf(slices.Concat(said["sources"], said[k.Name]), new(sourceKeys), reflect.New(k.Config).Interface())
		queries = append(queries, objectOf(slices.Concat(said["from"], said["from a "+k.Name+" source"]), new(fromKeys), reflect.New(k.Query).Interface()))
	}
	file := objectOf(said["The file"], new(fileKeys))
	file["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	file["title"] = "The mapping file of Nitrox"
	file["$defs"] = schema{
		"netscalers":   byName(ref("netscaler")),
		"netscaler":    objectOf(said["netscalers"], new(netscalerKeys)),
		"proxy":        objectOf(said["proxy"], new(proxyKeys)),
		"password":     schema{"type": "string", "pattern": onlyVariable.String()},
		"sources":      byName(schema{"type": "object", "properties": kindOf, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}),
		"defaults":     objectOf(said["Policies"], new(policyKeys)),
		"apps":         objectOf(slices.Concat(said["apps"], said["Policies"]), new(appKeys), new(policyKeys)),
		"discover":     objectOf(slices.Concat(said["discover"], said["Policies"]), new(discoverKeys), new(policyKeys)),
		"allow_groups": schema{"type": []string{"object", "null"}, "additionalProperties": values("", reflect.TypeFor[[]string]())},
		"include":      schema{"anyOf": []schema{{"type": "string", "minLength": 1}, objectOf(said["include"], new(includeKeys), new(limitKeys))}},
		"create":       objectOf(said["create"], new(createKeys)),
		"vserver":      objectOf(said["vserver"], new(vserverKeys)),
		"from":         schema{"anyOf": queries},
	}
	return json.MarshalIndent(file, "", "  ")
}

func ref(name string) schema { return schema{"$ref": "#/$defs/" + name} }

// byName is a mapping of names that the file chooses.
func byName(item schema) schema {
	return schema{"type": "object", "minProperties": 1, "additionalProperties": item}
}

// objectOf describes a mapping that is decoded into structs; said is what the
// reference says of its keys. What nobody must give may be left empty.
func objectOf(said []row, into ...any) schema {
	order, fields := keys(into)
	properties := schema{}
	o := schema{"type": "object", "properties": properties, "additionalProperties": false}
	for _, key := range order {
		properties[key] = values(key, fields[key].Type())
	}
	var required []string
	for _, r := range said {
		p, known := properties[r.key].(schema)
		if !known {
			continue // it is of the other of two tables
		}
		p["description"] = plainText(r.meaning)
		switch alternatives, must := strings.CutPrefix(r.standard, "required"); {
		case !must:
			p["description"] = fmt.Sprintf("%s (default: %s)", p["description"], plainText(r.standard))
		case alternatives == "":
			required = append(required, r.key)
		default:
			either := []schema{{"required": []string{r.key}}}
			for _, m := range inCode.FindAllStringSubmatch(alternatives, -1) {
				either = append(either, schema{"required": []string{m[1]}})
			}
			o["anyOf"] = either
		}
	}
	if required != nil {
		o["required"] = required
	} else if o["anyOf"] == nil {
		o["type"] = []string{"object", "null"}
	}
	return o
}

// values describes what [decoder.value] takes for a key of type t.
func values(key string, t reflect.Type) schema {
	switch {
	case t == node:
		return ref(key)
	case t.Kind() == reflect.Slice && t.Elem() == node && key == "from":
		return schema{"type": "array", "minItems": 1, "items": ref(key)}
	case t.Kind() == reflect.Slice && t.Elem() == node: // other files may have some
		return schema{"type": "array", "items": ref(key)}
	case t.Kind() == reflect.Slice:
		item := values(key, t.Elem())
		return schema{"anyOf": []schema{item, {"type": "array", "items": item}}}
	}
	if w, ok := reflect.Zero(t).Interface().(sources.Word); ok {
		return text("^$", schema{"enum": w.Words()})
	}
	switch {
	case t == duration:
		return text(`^[+-]?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+$`, schema{"const": 0})
	case t == address:
		return text(`^[0-9A-Fa-f:.]+(%.*)?$`)
	case t == prefix:
		return text(`^[0-9A-Fa-f:.]+/[0-9]+$`)
	case t == limit:
		return text(`^[+-]?[0-9]+%?$`, schema{"type": "integer"})
	case t == path:
		return schema{"type": []string{"string", "number", "boolean"}, "minLength": 1}
	case t.Kind() == reflect.Bool:
		return text(`^(true|True|TRUE|false|False|FALSE)$`, schema{"type": "boolean"})
	case t.Kind() == reflect.Int:
		return text(`^[+-]?[0-9]+$`, schema{"type": "integer"})
	}
	return schema{"type": []string{"string", "number", "boolean"}}
}

// text is a text of a pattern, one with variables, or something else.
func text(pattern string, or ...schema) schema {
	own := schema{"type": "string", "pattern": pattern + `|\$\{`}
	if len(or) == 0 {
		return own
	}
	return schema{"anyOf": append(or, own)}
}

// row is a line of a table of docs/mapping.md.
type row struct{ key, standard, meaning string }

var (
	cells  = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (.+?) \\| (.+) \\|$")
	inCode = regexp.MustCompile("`([^`]+)`")
	link   = regexp.MustCompile(`\[([^]]+)\]\([^)]*\)`)
)

// tables are those of docs/mapping.md, by the heading above them.
func tables(reference string) map[string][]row {
	found := map[string][]row{}
	heading := ""
	for line := range strings.Lines(reference) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			heading = name
		}
		if m := cells.FindStringSubmatch(line); m != nil {
			found[heading] = append(found[heading], row{m[1], m[2], m[3]})
		}
	}
	return found
}

// plainText is a cell without its markup.
func plainText(markdown string) string {
	return strings.ReplaceAll(link.ReplaceAllString(markdown, "$1"), "`", "")
}
