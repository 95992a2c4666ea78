package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/sources/all"
	"nitrox/sources/docker"
	"nitrox/sources/kubernetes"
	"nitrox/sources/marathon"
	"nitrox/sync"
	"nitrox/sync/config"
)

// An entry of discover says how far owners may go; what would let one owner have the
// group of another is refused, with what to write instead.
func TestDiscover(t *testing.T) {
	t.Parallel()
	load := func(t *testing.T, entries string) (*config.Mapping, error) {
		file := filepath.Join(t.TempDir(), "nitrox.yaml")
		text := `netscalers: {edge: {url: https://192.0.2.10}, dmz: {url: https://192.0.2.20}}
sources: {prod: {kubernetes: {context: prod}}, two: {kubernetes: {context: two}}, "a b": {kubernetes: {context: x}}, lab: {file: {path: e.json}}}
defaults: {drain: 45s}
discover:
` + entries
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return (&config.Files{Names: []string{file}, Lookup: lookup}).Load(all.Kinds)
	}
	for _, c := range []struct{ entries, problem string }{
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop, bank]}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop]}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: shop, service_group: "sg-{name}"}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "{namespace}_{name}_{port}"}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "{namespace}.{name}.{port}"}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge}`, "5:5: discover number 1: service_group: one namespace could write the name of another's group, " +
			`because what follows {namespace} can be a part of its name; list the namespaces, or write "{namespace}_{name}-{port}"`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop, shop-a]}`,
			`namespace shop could write the names of shop-a's groups; write "{namespace}_{name}-{port}"`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop, shopa], service_group: "{namespace}{name}"}`, "namespace shop could write the names of shopa's groups"},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop, bank], service_group: "{name}-{port}"}`, `one namespace could write the name of another's group; begin with {namespace}`},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "{name}.{namespace}"}`, `begin with {namespace}`},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "{namespace}_{nmae}"}`, `{nmae} is not known; use {namespace}, {name} and {port}`},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "{namespace}_x"}`, `{name} is missing`},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "/{namespace}_{name}"}`, `a service group cannot be called that`},
		{`{source: prod, select: nitrox=on, netscaler: edge, service_group: "{namespace}_{name} "}`, `a service group cannot be called that: use at most 127 letters, digits, spaces and _ # . : @ = -, begin with a letter, a digit or _, and do not end with a space`},
		{`{source: prod, select: nitrox=on, namespaces: [shop]}`, `netscaler is missing; choose from "edge" and "dmz"`},
		{`{source: prod, netscaler: edge, namespaces: [shop]}`, `select is missing; say by which label apps opt in`},
		{`{select: nitrox=on, netscaler: edge, namespaces: [shop]}`, `source is missing`},
		{`{source: prdo, select: nitrox=on, netscaler: edge}`, `source "prdo" is not defined; did you mean "prod"?`},
		{`{source: lab, select: nitrox=on, netscaler: edge}`, `in "lab" no app can opt in`},
		{`{source: prod, select: "", netscaler: edge, namespaces: [shop]}`, `select: it also chooses what has no label at all`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [Shop]}`, `namespaces[0]: "Shop" cannot be the name of a namespace`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], orphans: drain, allow_empty: true}`, `owner: is missing; orphans: drain needs a name`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], orphans: drop}`, `"drop" is not "keep" or "drain"`},
		{`{source: "a b", select: nitrox=on, netscaler: edge, namespaces: [shop]}`, `owner: is missing: "a b" cannot be in a mark`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], owner: "x y"}`, `owner: "x y" cannot be in a mark`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], allow_groups: {shop: "sg/*"}}`, `"sg/*" is not a pattern of service groups' names`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], max_remove: 5x}`, `max_remove: "5x" is neither a percentage nor a number`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], name: x}`, `unknown key "name" in discover number 1`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop]}` + "\n  - " +
			`{source: two, select: nitrox=on, netscaler: edge, namespaces: [shop]}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop]}` + "\n  - " +
			`{source: two, select: nitrox=on, netscaler: edge, namespaces: [shop-a]}`,
			`apps of source two could write the names of groups of source prod; let the name begin with a word of its own, as in "b.{namespace}-{name}-{port}" (see `},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop]}` + "\n  - " +
			`{source: two, select: nitrox=on, netscaler: dmz, namespaces: [shop-a]}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], share: true}` + "\n  - " +
			`{source: two, select: nitrox=on, netscaler: edge, namespaces: [shop], share: true}`, ""},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], share: true}` + "\n  - " +
			`{source: two, select: nitrox=on, netscaler: edge, namespaces: [shop], share: true, only: 10.1.0.0/16}`,
			`share: another entry has it too, with other policies, and whose a group has would be chance; give both`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], orphans: drain, owner: prod}` + "\n  - " +
			`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [bank], orphans: drain, owner: prod, paused: true}`,
			`owner: another entry has it too, with other policies`},
		{`{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop], orphans: drain, owner: prod}` + "\n  - " +
			`{source: prod, select: nitrox=on, netscaler: dmz, namespaces: [bank], orphans: drain, owner: prod, paused: true}`, ""},
	} {
		m, err := load(t, "  - "+c.entries+"\n")
		switch {
		case c.problem == "" && err != nil, c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s:\n%v\nwant\n%s", c.entries, err, c.problem)
		case err == nil && m.Discoveries[0].Owner != "prod":
			t.Errorf("%s: its owner is %s", c.entries, m.Discoveries[0].Owner)
		}
	}
	m, err := load(t, `  - {source: prod, select: nitrox=on, netscaler: [edge, dmz], namespaces: [shop, bank], only: 10.1.0.0/16, max_remove: 3, allow_empty: true,
     allow_groups: {shop: sg-shop-*, bank: [sg-bank-*, sg-pay]}, create: {service_type: http, vserver: {ip: 192.0.2.5, port: 80}}, orphans: drain, owner: us, share: true}`)
	if err != nil {
		t.Fatal(err)
	}
	d := m.Discoveries[0]
	if want := map[string][]string{"shop": {"sg-shop-*"}, "bank": {"sg-bank-*", "sg-pay"}}; !reflect.DeepEqual(d.Allow, want) || !d.Orphans || !d.Share ||
		d.Most != 3 || !d.Count || d.Drain != 45*time.Second || d.App.Policy.Drain != d.Drain || d.App.Policy.Only[0].String() != "10.1.0.0/16" ||
		d.App.Create.ServiceType != "HTTP" || d.App.Create.VServer.Name != "" {
		t.Errorf("%+v", d)
	}
}

// What --show-discovered prints is a mapping of which Load makes the same apps.
func TestShowIsTheMappingThatTheAppsAmountTo(t *testing.T) {
	t.Parallel()
	head := `# The mapping of edge.
netscalers: {edge: {url: https://192.0.2.10}, dmz: {url: https://192.0.2.20}}
sources:
  prod: {kubernetes: {context: prod}} # one of two
  dcos: {marathon: {urls: [http://127.0.0.1:1]}}
  swarm: {docker: {host: tcp://127.0.0.1:2375}}
defaults: {drain: 45s, only: 10.9.0.0/16, max_remove: 3}
`
	apps := []sync.App{
		{Name: "shop-web-http", Group: "shop-web-http", NetScalers: []string{"dmz", "edge"}, Marks: []string{"nitrox prod shop/web"}, Policy: sync.DefaultPolicy,
			Create: &netscaler.Creation{ServiceType: "HTTP", VServer: &netscaler.VServer{Name: "v", Addr: netip.MustParseAddrPort("192.0.2.5:80")}, Comment: "nitrox prod shop/web"},
			From: []sync.From{{Source: "prod", Query: kubernetes.Query{Service: "shop/web", Port: "http", Address: "pod_ip"}, Weight: 50, Order: 2},
				{Source: "dcos", Query: marathon.Query{App: "/shop/web", Port: "0"}}}},
		{Name: "true", Group: "true", NetScalers: []string{"edge"}, Marks: []string{"nitrox swarm /true"}, Doubt: errors.New("its partner is not known"),
			Policy: sync.Policy{Drain: time.Hour, AllowEmpty: true, AbsentIsEmpty: true, MaxRemove: sync.Limit{N: 9}, CleanServers: true, Paused: true,
				Only: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}},
			From: []sync.From{{Source: "swarm", Query: docker.Query{Label: "app=${HOST} x", Port: "80"}}}},
		{Name: "shop/bad", Refused: errors.New("service shop/bad: nitrox.io/port: \"\n\" is not a port")},
		{Name: "shop-old", Group: "shop-old", Orphan: true, NetScalers: []string{"edge"}},
	}
	for _, tail := range []string{
		"discover: [{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop]}]\n",
		"apps: [{name: own, netscaler: edge, from: [{source: prod, service: shop/own}]}]\ndiscover: [{source: prod, select: nitrox=on, netscaler: edge, namespaces: [shop]}]\n",
	} {
		file := filepath.Join(t.TempDir(), "nitrox.yaml")
		write := func(text []byte) {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write([]byte(head + tail))
		text, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Show(apps)
		if err != nil {
			t.Fatal(err)
		}
		write(text)
		m, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(all.Kinds)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got := m.Apps[len(m.Apps)-2:]
		for i := range got {
			want := apps[i]
			want.Marks, want.Doubt, got[i].At = nil, nil, ""
			want.Policy.Only = append([]netip.Prefix{}, want.Policy.Only...)
			if want.Create != nil {
				made := *want.Create
				made.Comment, want.Create = "", &made
			}
			if !reflect.DeepEqual(got[i], want) {
				t.Errorf("%+v\nis not\n%+v\n%s", got[i], want, text)
			}
		}
		for _, want := range []string{"# The mapping of edge.", "# one of two", "# not served: service shop/bad: nitrox.io/port", "# no app claims it any more: shop-old on edge",
			"# true loses no members for now: its partner is not known"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("it does not say %q:\n%s", want, text)
			}
		}
	}
}
