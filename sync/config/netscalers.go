package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"

	"gopkg.in/yaml.v3"
)

// netscalerKeys are the keys of an entry of netscalers.
type netscalerKeys struct {
	URL                string        `yaml:"url"`
	URLs               []string      `yaml:"urls"`
	Username           string        `yaml:"username"`
	Password           *yaml.Node    `yaml:"password"`
	PasswordFile       sources.Path  `yaml:"password_file"`
	CAFile             sources.Path  `yaml:"ca_file"`
	ServerName         string        `yaml:"server_name"`
	InsecureSkipVerify bool          `yaml:"insecure_skip_verify"`
	Partition          string        `yaml:"partition"`
	Save               save          `yaml:"save"`
	SaveEvery          time.Duration `yaml:"save_every"`
	Timeout            time.Duration `yaml:"timeout"`
}

type save string

const (
	onChange save = "on_change"
	never    save = "never"
)

func (s save) Check() error { return oneOf(s, onChange, never) }

func (k *netscalerKeys) Check() error {
	if k.Timeout == 0 {
		return &sources.KeyError{Key: "timeout", Err: errors.New("must be more than 0")}
	}
	return nil
}

func oneOf[S ~string](text S, known ...S) error {
	words := names(known, func(s S) string { return string(s) })
	for _, w := range known {
		if text == w {
			return nil
		}
	}
	return fmt.Errorf("%q is not %s", string(text), or(words))
}

// appliance is a NetScaler that an app may name.
type appliance struct {
	name string
	// same are what it shares with every entry that means the same appliance
	// and partition: its addresses, or its name if none could be read.
	same []string
}

func applianceName(a *appliance) string { return a.name }

func (d *decoder) netscalers(n *yaml.Node, m *Mapping) []*appliance {
	list, ok := d.entries(n, "netscalers")
	if ok && len(list) == 0 {
		d.problem(n, "netscalers: is empty; name at least one")
	}
	m.NetScalers = map[string]NetScaler{}
	var all []*appliance
	for _, e := range list {
		d.name(e.key, e.key.Value, "a NetScaler")
		a := &appliance{name: e.key.Value}
		all = append(all, a)
		m.NetScalers[a.name] = d.netscaler(e.value, a)
	}
	return all
}

func (d *decoder) netscaler(n *yaml.Node, a *appliance) NetScaler {
	k := netscalerKeys{Save: onChange, SaveEvery: 5 * time.Minute, Timeout: 10 * time.Second}
	o := d.object(n, fmt.Sprintf("netscaler %s", quote(a.name)), &k)
	if o == nil {
		return NetScaler{}
	}
	if k.Partition == "default" {
		k.Partition = "" // no need to switch to it
	}
	urls := d.urls(o, k)
	for _, u := range urls {
		a.same = append(a.same, u.Host+" "+k.Partition)
	}
	if len(urls) == 0 {
		a.same = []string{"netscaler " + a.name}
	}
	if k.InsecureSkipVerify {
		d.warn(o.at("insecure_skip_verify"), "insecure_skip_verify: anyone between here and the NetScaler can read the password and change what is sent; use ca_file")
	}
	d.certificates(o, k.CAFile)
	return NetScaler{
		Config: netscaler.Config{
			URLs:               names(urls, func(u *url.URL) string { return u.String() }),
			Username:           d.username(o, k),
			Password:           d.password(o, k),
			CAFile:             string(k.CAFile),
			ServerName:         k.ServerName,
			InsecureSkipVerify: k.InsecureSkipVerify,
			Partition:          k.Partition,
			Timeout:            k.Timeout,
		},
		Save:      k.Save == onChange,
		SaveEvery: k.SaveEvery,
	}
}

// urls returns those of url or urls that are well formed, normalised.
func (d *decoder) urls(o *object, k netscalerKeys) []*url.URL {
	texts, key := k.URLs, "urls"
	_, one := o.values["url"]
	_, several := o.values["urls"]
	switch {
	case one && several:
		d.problem(o.at("urls"), "urls: stands beside url; give one of the two")
	case one:
		texts, key = []string{k.URL}, "url"
	case len(texts) == 0 && !o.wrong["urls"]:
		d.missing(o, "url", `write "url: https://192.0.2.10", or urls for both nodes of an HA pair`)
	case len(texts) > 2:
		d.problem(o.at("urls"), "urls: there are %d; an HA pair has two nodes, and any other NetScaler is an entry of its own", len(texts))
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
		at := o.at(name)
		u, err := normal(text)
		switch {
		case err != nil:
			d.problem(at, "%s: %v", name, err)
			continue
		case first[u.Host]:
			d.problem(at, "%s: is the same as one before it", name)
			continue
		case u.Scheme == "http" && !loopback(u.Hostname()):
			d.warn(at, "%s: http:// sends the password in the clear; use https://", name)
		}
		first[u.Host] = true
		urls = append(urls, u)
	}
	return urls
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
		return nil, errors.New("must not hold a user or a password; use username and password_file")
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
	case strings.Contains(host, ":"):
		normal.Host = "[" + host + "]"
	}
	return normal, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (d *decoder) username(o *object, k netscalerKeys) string {
	if _, given := o.values["username"]; given {
		if k.Username == "" && !o.wrong["username"] {
			d.problem(o.at("username"), "username: is empty")
		}
		return k.Username
	}
	name, _ := d.lookup("NS_USER")
	if name == "" {
		d.missing(o, "username", "give it, or set the environment variable NS_USER")
	}
	return name
}

// password returns the secret, and sees to it that it can be read now.
func (d *decoder) password(o *object, k netscalerKeys) netscaler.Secret {
	_, inFile := o.values["password_file"]
	switch {
	case inFile && k.Password != nil:
		d.problem(o.at("password"), "password: stands beside password_file; give one of the two")
	case inFile && !o.wrong["password_file"]:
		secret := netscaler.SecretFile(string(k.PasswordFile))
		if _, err := secret.Reveal(); err != nil {
			d.refuse(o, &sources.KeyError{Key: "password_file", Err: err})
		}
		return secret
	case k.Password != nil:
		return d.passwordText(k.Password)
	case !inFile:
		text, _ := d.lookup("NS_PASSWORD")
		if text == "" {
			d.missing(o, "a password", "give password_file, or password: ${VARIABLE}, or set the environment variable NS_PASSWORD")
		}
		return netscaler.SecretText(text)
	}
	return netscaler.Secret{}
}

// passwordText reads a password that must be one variable and nothing else.
// What else stands there may be the password itself, and is not repeated.
func (d *decoder) passwordText(n *yaml.Node) netscaler.Secret {
	if null(n) {
		d.problem(n, "password: has no value; give one, or remove the key")
		return netscaler.Secret{}
	}
	name := onlyVariable.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || name == nil {
		d.problem(n, "password: must not stand in this file; write ${NAME} for an environment variable that holds it, or use password_file")
		return netscaler.Secret{}
	}
	text, set := d.lookup(name[1])
	switch {
	case !set:
		d.problem(n, "password: the environment variable %s is not set", name[1])
	case text == "":
		d.problem(n, "password: the environment variable %s is empty", name[1])
	}
	return netscaler.SecretText(text)
}

func (d *decoder) certificates(o *object, file sources.Path) {
	if file == "" {
		return
	}
	pem, err := os.ReadFile(string(file))
	switch {
	case err != nil:
		err = fmt.Errorf("read the certificates: %w", err)
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		err = fmt.Errorf("%s holds no certificate in PEM form", file)
	default:
		return
	}
	d.refuse(o, &sources.KeyError{Key: "ca_file", Err: err})
}
