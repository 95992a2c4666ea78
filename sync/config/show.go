package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"nitrox/netscaler"
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
	root := newPairs().Node
	document := yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}
	if len(all) == 1 {
		if err := yaml.Unmarshal(all[0].content, &document); err != nil {
			return nil, err
		}
		root = document.Content[0]
	}
	var written *yaml.Node
	for i := 0; i < len(root.Content); {
		switch root.Content[i].Value {
		case "discover":
			root.Content = append(root.Content[:i], root.Content[i+2:]...)
			continue
		case "apps":
			written = root.Content[i+1]
		}
		i += 2
	}
	if written == nil {
		written = &yaml.Node{Kind: yaml.SequenceNode}
		root.Content = append(root.Content, scalar("apps"), written)
	}
	var left bytes.Buffer
	for _, app := range apps {
		switch {
		case app.Refused != nil:
			fmt.Fprintf(&left, "# not served: %s\n", sync.OneLine(app.Refused.Error()))
		case app.Orphan:
			fmt.Fprintf(&left, "# no app claims it any more: %s on %s\n", app.Group, strings.Join(app.NetScalers, " and "))
		case app.Discovered():
			written.Content = append(written.Content, shown(app))
			if app.Doubt != nil {
				fmt.Fprintf(&left, "# %s loses no members for now: %s\n", app.Name, sync.OneLine(app.Doubt.Error()))
			}
		}
	}
	written.Style = 0 // however the others were written
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := errors.Join(e.Encode(&document), e.Close())
	return append(out.Bytes(), left.Bytes()...), err
}

// pairs are the keys of a mapping that is written.
type pairs struct{ *yaml.Node }

func newPairs() pairs { return pairs{&yaml.Node{Kind: yaml.MappingNode}} }

func (p pairs) add(key string, value *yaml.Node) { p.Content = append(p.Content, scalar(key), value) }

// scalar is a value as the file has it, in which a variable would be expanded.
func scalar(value any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(value)}
	if v, ok := value.(reflect.Value); ok {
		value = v.Interface()
	}
	if reflect.TypeOf(value).Kind() == reflect.String {
		n.SetString(strings.ReplaceAll(n.Value, "${", "$${"))
	}
	return n
}

func flow[T any](values []T) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, v := range values {
		n.Content = append(n.Content, scalar(v))
	}
	return n
}

// shown is an app as a mapping file has it.
func shown(app sync.App) *yaml.Node {
	p := newPairs()
	p.add("name", scalar(app.Name))
	p.add("service_group", scalar(app.Group))
	p.add("netscaler", flow(app.NetScalers))
	policy := app.Policy
	p.add("drain", scalar(policy.Drain))
	p.add("wait_up", scalar(policy.WaitUp))
	p.add("allow_empty", scalar(policy.AllowEmpty))
	p.add("absent", scalar(map[bool]absent{true: empty, false: doubt}[policy.AbsentIsEmpty]))
	p.add("max_remove", scalar(policy.MaxRemove))
	p.add("only", flow(policy.Only))
	p.add("clean_servers", scalar(policy.CleanServers))
	p.add("paused", scalar(policy.Paused))
	if app.Create != nil {
		p.add("create", creation(app.Create))
	}
	from := &yaml.Node{Kind: yaml.SequenceNode}
	for _, f := range app.From {
		entry := newPairs()
		entry.Style = yaml.FlowStyle
		entry.add("source", scalar(f.Source))
		query := reflect.ValueOf(f.Query)
		for _, field := range fieldsOf(query.Type()) {
			switch v := query.FieldByIndex(field.Index); {
			case v.IsZero():
			case v.Kind() == reflect.Slice:
				items := make([]any, v.Len())
				for i := range items {
					items[i] = v.Index(i)
				}
				entry.add(field.Tag.Get("yaml"), flow(items))
			default:
				entry.add(field.Tag.Get("yaml"), scalar(v))
			}
		}
		if f.Weight > 0 {
			entry.add("weight", scalar(f.Weight))
		}
		if f.Order > 0 {
			entry.add("order", scalar(f.Order))
		}
		from.Content = append(from.Content, entry.Node)
	}
	p.add("from", from)
	return p.Node
}

func creation(c *netscaler.Creation) *yaml.Node {
	p := newPairs()
	p.add("service_type", scalar(c.ServiceType))
	if c.MemberList {
		p.add("autoscale", scalar(desiredState))
	}
	if v := c.VServer; v != nil {
		front := newPairs()
		front.add("name", scalar(v.Name))
		if v.Addr.IsValid() {
			front.add("ip", scalar(v.Addr.Addr()))
			front.add("port", scalar(v.Addr.Port()))
		}
		if v.Method != "" {
			front.add("method", scalar(v.Method))
		}
		p.add("vserver", front.Node)
	}
	return p.Node
}
