package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

// Show is the mapping file with these apps written into it, in place of discover; of
// several files, another one that has these apps. What is not served stands at its end,
// with the reason.
func (f *Files) Show(apps []sync.App) ([]byte, error) {
	f.mu.Lock()
	all := f.gather(false)
	f.mu.Unlock()
	root := &yaml.Node{Kind: yaml.MappingNode}
	document := yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}
	if len(all) == 1 {
		if err := yaml.Unmarshal(all[0].content, &document); err != nil {
			return nil, err
		}
		root = document.Content[0]
	}
	if i := slices.IndexFunc(root.Content, func(n *yaml.Node) bool { return n.Value == "discover" }); i >= 0 {
		root.Content = slices.Delete(root.Content, i, i+2)
	}
	list := find(root, "apps")
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		root.Content = append(root.Content, written(reflect.ValueOf("apps")), list)
	}
	var left bytes.Buffer
	for _, app := range apps {
		switch {
		case app.Refused != nil:
			fmt.Fprintf(&left, "# not served: %s\n", sync.OneLine(app.Refused.Error()))
		case app.Orphan:
			fmt.Fprintf(&left, "# no app claims it any more: %s on %s\n", app.Group, strings.Join(app.NetScalers, " and "))
		case app.Discovered():
			list.Content = append(list.Content, shown(app))
			if app.Doubt != nil {
				fmt.Fprintf(&left, "# %s loses no members for now: %s\n", app.Name, sync.OneLine(app.Doubt.Error()))
			}
		}
	}
	list.Style = 0 // however the others were written
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := errors.Join(e.Encode(&document), e.Close())
	return append(out.Bytes(), left.Bytes()...), err
}

// shown is an app as a mapping file has it.
func shown(app sync.App) *yaml.Node {
	k := appKeys{Name: app.Name, ServiceGroup: app.Group, NetScaler: app.NetScalers, Paused: app.Policy.Paused}
	if c := app.Create; c != nil {
		create := createKeys{ServiceType: word(c.ServiceType)}
		if c.MemberList {
			create.Autoscale = desiredState
		}
		if v := c.VServer; v != nil {
			create.VServer = writtenKeys(vserverKeys{v.Name, v.Addr.Addr(), int(v.Addr.Port()), word(v.Method)})
		}
		k.Create = writtenKeys(create)
	}
	for _, f := range app.From {
		entry := writtenKeys(fromKeys{f.Source, f.Weight, f.Order}, f.Query)
		entry.Style = yaml.FlowStyle
		k.From = append(k.From, entry)
	}
	return writtenKeys(k, policiesOf(app.Policy))
}

// writtenKeys is a mapping that [decoder.object] reads as these structs.
func writtenKeys(structs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range structs {
		v := reflect.ValueOf(s)
		_, always := s.(policyKeys) // defaults may say something else
		for _, f := range fieldsOf(v.Type()) {
			if value := v.FieldByIndex(f.Index); always || !value.IsZero() {
				n.Content = append(n.Content, written(reflect.ValueOf(f.Tag.Get("yaml"))), written(value))
			}
		}
	}
	return n
}

// written is a value as [decoder.value] reads it: a variable would be expanded.
func written(v reflect.Value) *yaml.Node {
	if v.Type() == node {
		return v.Interface().(*yaml.Node)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v)}
	switch v.Kind() {
	case reflect.String:
		n.SetString(strings.ReplaceAll(n.Value, "${", "$${"))
	case reflect.Slice:
		n = &yaml.Node{Kind: yaml.SequenceNode}
		if v.Type().Elem() != node {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			n.Content = append(n.Content, written(v.Index(i)))
		}
	}
	return n
}
