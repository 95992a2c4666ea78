package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// proxyKeys are the keys of proxy: a NetScaler Console that passes calls on.
type proxyKeys struct {
	Via        string     `yaml:"via"`
	InstanceIP netip.Addr `yaml:"instance_ip"`
}

// urls returns those of url or urls that are well formed, normalised.
func (d *decoder) urls(o *object, k netscalerKeys) []*url.URL {
	texts, key := k.URLs, "urls"
	_, one := o.values["url"]
	_, several := o.values["urls"]
	switch {
	case one && several:
		d.problem(o.at("urls"), "urls: cannot be combined with url; give one of the two")
	case one:
		texts, key = []string{k.URL}, "url"
	case len(texts) == 0 && !o.wrong["urls"]:
		d.missing(o, "url", `write "url: https://192.0.2.10", or urls for both nodes of an HA pair`)
	case len(texts) > 2:
		d.problem(o.at("urls"), "urls: has %d; an HA pair has two nodes, and every other NetScaler needs an entry of its own", len(texts))
	}
	if o.wrong[key] {
		return nil
	}
	var urls []*url.URL
	first := map[string]bool{}
	for i, text := range texts {
		name := key
		if o.at(key).Kind == yaml.SequenceNode {
			name = fmt.Sprintf("%s[%d]", key, i)
		}
		u := d.url(o, name, text)
		if u == nil {
			continue
		}
		if first[u.Host] {
			d.problem(o.at(name), "%s: is the same as an earlier one", name)
			continue
		}
		first[u.Host] = true
		urls = append(urls, u)
	}
	return urls
}

// url reads the URL that stands at key, or notes what is wrong with it.
func (d *decoder) url(o *object, key, text string) *url.URL {
	u, err := normal(text)
	switch {
	case err != nil:
		d.problem(o.at(key), "%s: %v", key, err)
		return nil
	case u.Scheme == "http" && !loopback(u.Hostname()):
		d.warn(o.at(key), "%s: http:// sends the password in the clear; use https://", key)
	}
	return u
}

// proxy returns the URL of the Console and the address of the appliance behind
// it.
func (d *decoder) proxy(o *object, k netscalerKeys) ([]*url.URL, netip.Addr) {
	for _, key := range []string{"url", "urls"} {
		if _, given := o.values[key]; given {
			d.problem(o.at(key), "%s: cannot be combined with proxy; calls go to proxy.via, for the appliance at proxy.instance_ip", key)
		}
	}
	if k.Partition != "" {
		d.problem(o.at("partition"), "partition: cannot be used through a proxy; a NetScaler Console has its own session with the appliance, and keeps no partition for its clients")
	}
	var p proxyKeys
	po := d.object(k.Proxy, "proxy", &p)
	if po == nil {
		return nil, netip.Addr{}
	}
	var urls []*url.URL
	switch _, given := po.values["via"]; {
	case !given:
		d.missing(po, "via", `write "via: https://192.0.2.1", the URL of the NetScaler Console`)
	case !po.wrong["via"]:
		if u := d.url(po, "via", p.Via); u != nil {
			urls = append(urls, u)
		}
	}
	switch _, given := po.values["instance_ip"]; {
	case !given:
		d.missing(po, "instance_ip", "give the address under which the Console manages the appliance")
	case po.wrong["instance_ip"]:
	case p.InstanceIP.Zone() != "" || p.InstanceIP.IsUnspecified():
		d.problem(po.at("instance_ip"), "instance_ip: %q is not the address of an appliance", p.InstanceIP)
		p.InstanceIP = netip.Addr{}
	}
	return urls, p.InstanceIP.Unmap()
}

// normal reads the URL of a NetScaler and gives it the one form that all ways
// to write it share: lower case, no default port, no trailing slash. Its
// errors repeat nothing of the text, which may hold a password.
func normal(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	// Without a scheme url.Parse fails on "192.0.2.10:443", takes
	// "192.0.2.10" for a path, and "ns.example:443" for a scheme.
	if !strings.Contains(text, "://") {
		return nil, errors.New("is not a URL; write it like https://192.0.2.10")
	}
	if strings.Contains(text, "@") {
		return nil, errors.New("must not contain a username or a password; use username and password_file")
	}
	if err != nil {
		return nil, errors.New("is not a well-formed URL; write it like https://192.0.2.10 or https://[2001:db8::10]:8443")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("must begin with https:// or http://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("has no host; write it like https://192.0.2.10")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return nil, errors.New("must end after the host and port; Nitrox adds the path")
	}
	port := u.Port()
	if port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("has no port between 1 and 65535")
		}
	}
	host := strings.ToLower(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	if port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		port = ""
	}
	normal := &url.URL{Scheme: u.Scheme, Host: host}
	switch {
	case port != "":
		normal.Host = net.JoinHostPort(host, port)
	default:
		normal.Host = bracketed(host)
	}
	return normal, nil
}

// bracketed is a host as URLs have it.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
