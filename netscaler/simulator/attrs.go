package simulator

import "strings"

// kept makes attributes of one kind that have no meaning here: they are checked,
// kept and shown. Their names are those of the command line; NITRO's are the same
// in lower case.
func kept(k kind, enum, names string) (attrs []attr) {
	for cli := range strings.FieldsSeq(names) {
		attrs = append(attrs, attr{name: strings.ToLower(cli), cli: cli, kind: k, enum: enum, max: keptMax[k]})
	}
	return attrs
}

// keptMax is the largest value of any of them, in NITRO an unsigned integer.
var keptMax = map[kind]int{integer: 4294967295}

// kept as secret: never shown.
func secrets(names string) []attr {
	attrs := kept(text, "", names)
	for i := range attrs {
		attrs[i].secret = true
	}
	return attrs
}
