package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/discover"

	"gopkg.in/yaml.v3"
)

// createKeys are the keys of an app's create: how its service group is made if
// it is missing.
type createKeys struct {
	ServiceType word       `yaml:"service_type"`
	Autoscale   autoscale  `yaml:"autoscale"`
	VServer     *yaml.Node `yaml:"vserver"`
}

// vserverKeys are the keys of create's vserver.
type vserverKeys struct {
	Name   string     `yaml:"name"`
	IP     netip.Addr `yaml:"ip"`
	Port   int        `yaml:"port"`
	Method word       `yaml:"method"`
}

// word is one of NITRO's words, such as HTTP or LEASTCONNECTION, in any case.
// Which there are depends on the release, so the NetScaler decides.
type word string

var nitroWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

func (w word) Check() error {
	if !nitroWord.MatchString(string(w)) {
		return fmt.Errorf("%q is not a NetScaler keyword such as HTTP or LEASTCONNECTION", string(w))
	}
	return nil
}

func (w word) upper() string { return strings.ToUpper(string(w)) }

type autoscale string

const (
	ordinary     autoscale = "DISABLED"
	desiredState autoscale = "API"
)

func (autoscale) Words() []string { return []string{string(ordinary), string(desiredState)} }
func (a autoscale) Check() error  { return oneOf(a) }

func (k *vserverKeys) Check() error {
	var errs []error
	refuse := func(key, why string) { errs = append(errs, &sources.KeyError{Key: key, Err: errors.New(why)}) }
	switch {
	case k.IP.IsValid() && (k.IP.Zone() != "" || k.IP.IsUnspecified() || k.IP.IsLoopback() || k.IP.IsMulticast()):
		refuse("ip", "is not an address that clients can reach")
	case k.IP.IsValid() && k.Port == 0:
		refuse("port", "is missing; ip and port go together")
	case !k.IP.IsValid() && k.Port != 0:
		refuse("ip", "is missing; ip and port go together")
	}
	if k.Port < 0 || k.Port > 65535 {
		refuse("port", "must be 1 to 65535")
	}
	if k.Method != "" && !k.IP.IsValid() && k.Port == 0 {
		refuse("method", "is only for a vserver that is to be created; give its ip and port too")
	}
	return errors.Join(errs...)
}

// create decodes how the service group of an app is made; nil if there is a
// problem.
func (d *decoder) create(n *yaml.Node, of string, app sync.App) *netscaler.Creation {
	k := createKeys{Autoscale: ordinary}
	o := d.object(n, "create of "+of, &k)
	if o == nil {
		return nil
	}
	if _, given := o.values["service_type"]; !given {
		d.missing(o, "service_type", "it is the members' protocol, such as HTTP, SSL or TCP")
	}
	c := &netscaler.Creation{ServiceType: k.ServiceType.upper(), MemberList: k.Autoscale == desiredState}
	if c.MemberList {
		c.Drain = app.Policy.Drain
	}
	if k.VServer != nil && d.limits != nil {
		d.problem(k.VServer, "vserver: this file has limits (%s), and a vserver is not its own; have the app, or the vserver, made there", d.limits.at())
	} else if k.VServer != nil {
		c.VServer = d.vserver(k.VServer, "vserver in "+o.what, app)
	}
	return c
}

func (d *decoder) vserver(n *yaml.Node, what string, app sync.App) *netscaler.VServer {
	var k vserverKeys
	o := d.object(n, what, &k)
	if o == nil {
		return nil
	}
	v := &netscaler.VServer{Name: app.Group, Method: k.Method.upper()}
	if name, given := o.values["name"]; given && !o.wrong["name"] {
		if v.Name = k.Name; !discover.GroupName.MatchString(v.Name) {
			d.problem(name, "name: a vserver cannot be called %s: use %s", quote(name.Value), discover.Letters)
		}
	}
	if k.IP.IsValid() && k.Port > 0 && k.Port <= 65535 {
		v.Addr = netip.AddrPortFrom(k.IP.Unmap(), uint16(k.Port))
	}
	return v
}
