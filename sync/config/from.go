package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/nearest"
	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

// fromKeys are the keys that all from entries have.
type fromKeys struct {
	Source string `yaml:"source"`
	Weight int    `yaml:"weight"`
	Order  int    `yaml:"order"`
}

// from decodes one from entry of app; false if its source is not known.
// create is how the app's service group is made.
func (d *decoder) from(n *yaml.Node, app string, create *netscaler.Creation, defs *definitions) (sync.From, bool) {
	what := "a from entry of " + app
	limit := d.limit().Sources
	known := usable(names(defs.sources, sourceName), limit)
	named := find(n, "source")
	if named == nil {
		d.noSource(n, what, known)
		return sync.From{}, false
	}
	var name string
	if !d.scalar(named, "source", reflect.ValueOf(&name).Elem()) {
		return sync.From{}, false
	}
	if !slices.Contains(known, name) {
		d.undefined(named, "source ", named.Value, known, limit)
		return sync.From{}, false
	}
	s := defs.sources[slices.IndexFunc(defs.sources, func(s *source) bool { return s.name == name })]
	s.used = true
	if s.kind == nil {
		return sync.From{}, false
	}
	var k fromKeys
	query := reflect.New(s.kind.Query)
	o := d.object(n, what, &k, query.Interface()) // not nil: n has a source
	if o.values["weight"] != nil && (k.Weight < 1 || k.Weight > 100) {
		d.refuseKey(o, "weight", "must be 1 to 100")
	}
	if o.values["order"] != nil && (k.Order < 1 || k.Order > 8192) {
		d.refuseKey(o, "order", "must be 1 to 8192")
	}
	d.agree(o, query.Elem(), create)
	d.inside(n, s, query.Elem().Interface())
	return sync.From{Source: name, Query: query.Elem().Interface(), Weight: k.Weight, Order: k.Order}, true
}

// agree refuses a port that is chosen by a protocol that the service group to be
// made does not take.
func (d *decoder) agree(o *object, query reflect.Value, create *netscaler.Creation) {
	f := query.FieldByName("Port")
	if create == nil || o.wrong["port"] || !f.IsValid() || f.Type() != reflect.TypeFor[sources.Port]() {
		return
	}
	_, protocol := f.Interface().(sources.Port).Cut()
	if takes := sync.ProtocolOf(create.ServiceType); protocol != "" && takes != "" && protocol != takes {
		d.refuseKey(o, "port", fmt.Sprintf("the port speaks %s, but create makes a service group of type %s, which takes %s; change one of them",
			strings.ToUpper(string(protocol)), create.ServiceType, strings.ToUpper(string(takes))))
	}
}

// noSource reports a from entry without a source. Which keys it may have is
// not known then.
func (d *decoder) noSource(n *yaml.Node, what string, known []string) {
	list, ok := d.entries(n, what)
	for _, e := range list {
		if nearest.Name(e.key.Value, []string{"source"}) != "" {
			d.problem(e.key, "unknown key %s in %s; did you mean \"source\"?", quote(e.key.Value), what)
			return
		}
	}
	if ok {
		d.problem(n, "%s: source is missing%s", what, thereAre(known))
	}
}
