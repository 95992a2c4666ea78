package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"nitrox/sources"
	"nitrox/sources/httpapi"
	"nitrox/sources/trust"
)

// Config is a docker source of the mapping.
type Config struct {
	// Host is where the daemon listens: unix:///var/run/docker.sock,
	// tcp://10.0.0.5:2376, or the same with http or https.
	Host string `yaml:"host"`
	// Hosts, instead of Host, are several managers of one swarm. They are tried
	// in turn.
	Hosts []string `yaml:"hosts"`
	// CAFile holds the certificates that the daemon's must be signed by;
	// without it the system's are used. TLS is on if one of these five is given
	// or the host begins with https. The files are read again for each poll.
	CAFile sources.Path `yaml:"ca_file"`
	// CertFile and KeyFile hold the certificate to present to the daemon.
	CertFile sources.Path `yaml:"cert_file"`
	KeyFile  sources.Path `yaml:"key_file"`
	// ServerName is the name in the daemon's certificate, where that is not the
	// host's.
	ServerName string `yaml:"server_name"`
	// CertificateSHA256 are the fingerprints of the only certificates to trust in
	// the daemon, instead of any that have the right name and authority.
	CertificateSHA256 []trust.Fingerprint `yaml:"certificate_sha256"`
	// Kind is what answers there; by default that is found out.
	Kind Kind `yaml:"kind"`
	// HostAddress is the address to bind for containers that are published on
	// all addresses of an engine. Default: the host's, if that is an address.
	HostAddress netip.Addr `yaml:"host_address"`
	// NodeLabel is the label of swarm nodes that holds the address to bind.
	// Default: the address at which the swarm knows the node.
	NodeLabel string `yaml:"node_label"`
}

// Check implements [sources.Checker].
func (c Config) Check() error {
	var problems sources.Problems
	switch {
	case c.Host != "" && len(c.Hosts) > 0:
		problems.Add("hosts", "give either host or hosts, not both")
	case c.Host == "" && len(c.Hosts) == 0:
		problems.Add("host", "give the address of the Docker daemon, such as unix:///var/run/docker.sock or tcp://10.0.0.5:2376")
	}
	for i, text := range c.hosts() {
		key := "host"
		if c.Host == "" {
			key = fmt.Sprintf("hosts[%d]", i)
		}
		a, err := parseAddress(text)
		switch {
		case err != nil:
			problems.Add(key, "%w", err)
		case c.tls() && a.network == "unix":
			problems.Add(key, "a local socket has no TLS: ca_file, cert_file, key_file, server_name and certificate_sha256 are for tcp:// and https://")
		case c.tls() && a.url.Scheme == "http":
			problems.Add(key, "http:// contradicts ca_file, cert_file, key_file, server_name or certificate_sha256; write tcp:// or https://")
		case slices.Contains(c.hosts()[:i], text):
			problems.Add(key, "%s is listed twice", text)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		key := "cert_file"
		if c.KeyFile == "" {
			key = "key_file"
		}
		problems.Add(key, "cert_file and key_file must be given together")
	}
	if c.CAFile != "" && len(c.CertificateSHA256) > 0 {
		problems.Add("certificate_sha256", "it takes the place of ca_file; remove one of the two")
	}
	if c.Kind != "" && !slices.Contains(c.Kind.Words(), string(c.Kind)) {
		problems.Add("kind", "%q is not swarm, classic or engine", c.Kind)
	}
	if c.Kind == Engine && len(c.Hosts) > 1 {
		problems.Add("hosts", "hosts are the managers of one swarm; give each engine a source of its own")
	}
	if c.NodeLabel != "" && (c.Kind == Classic || c.Kind == Engine) {
		problems.Add("node_label", "only nodes in swarm mode have labels that can hold an address")
	}
	if a := c.HostAddress; a.IsValid() {
		if c.Kind == Swarm {
			problems.Add("host_address", "it is for a single engine; in swarm mode use node_label")
		}
		if !sources.Reachable(a) {
			problems.Add("host_address", "%v cannot be bound to a service group", a)
		}
	}
	return problems.Err()
}

// Warnings implements [sources.Warner].
func (c Config) Warnings() error {
	var problems sources.Problems
	for i, text := range c.hosts() {
		key := "host"
		if c.Host == "" {
			key = fmt.Sprintf("hosts[%d]", i)
		}
		a, err := parseAddress(text)
		if err == nil && a.network == "tcp" && a.url.Scheme != "https" && !c.tls() && !sources.Loopback(a.url.Hostname()) {
			problems.Add(key, "without TLS anyone between here and the daemon can change its answers, and whoever reaches the port is root there; use ca_file, cert_file and key_file")
		}
	}
	problems.Expose("key_file", c.KeyFile)
	return problems.Err()
}

func (c Config) hosts() []string {
	if c.Host != "" {
		return append([]string{c.Host}, c.Hosts...)
	}
	return c.Hosts
}

func (c Config) certificates() httpapi.Certificates {
	return httpapi.Certificates{CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, ServerName: c.ServerName, SHA256: c.CertificateSHA256}
}

// tls says whether one of the keys that turn TLS on is given.
func (c Config) tls() bool {
	return c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" || c.ServerName != "" || len(c.CertificateSHA256) > 0
}

// CheckFiles implements [sources.FileChecker].
func (c Config) CheckFiles() error { return c.certificates().Check() }

// OthersWrite implements [sources.Exposed]. In swarm mode an app is what a
// manager's services are called; on an engine whatever container has a label.
func (c Config) OthersWrite(query any) string {
	if q, ok := query.(Query); ok && q.Label != "" && c.Kind != Swarm {
		return "any container that has the label"
	}
	return ""
}

// Query is a from entry of the mapping.
type Query struct {
	// Service is a service in swarm mode, or of Docker Compose ("web", or
	// "project/web").
	Service string `yaml:"service"`
	// Label, instead of Service, is key=value.
	Label string `yaml:"label"`
	// Port is the container's, with a protocol if it is published for several
	// ("53/udp"). It may be left out if only one is published.
	Port sources.Port `yaml:"port"`
}

// Check implements [sources.Checker].
func (q Query) Check() error {
	var problems sources.Problems
	switch key, _, ok := strings.Cut(q.Label, "="); {
	case q.Service == "" && q.Label == "":
		problems.Add("service", "give a service or a label")
	case q.Service != "" && q.Label != "":
		problems.Add("label", "give either service or label, not both")
	case q.Label != "" && (!ok || key == ""):
		problems.Add("label", "a label has the form key=value")
	}
	if n, ok := q.Port.Number(); q.Port != "" && (!ok || n < 1 || n > 65535) {
		problems.Add("port", "a port is a number from 1 to 65535, or that and its protocol, such as 53/udp")
	}
	return problems.Err()
}

// String names the app in errors.
func (q Query) String() string {
	if q.Service != "" {
		return fmt.Sprintf("service %q", q.Service)
	}
	return fmt.Sprintf("label %q", q.Label)
}

// address is a parsed host.
type address struct {
	text    string // as configured
	network string // unix or tcp
	path    string // of a unix socket
	url     *url.URL
}

func parseAddress(text string) (address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return address{}, fmt.Errorf("%q does not begin with unix://, tcp://, http:// or https://; write it like unix:///var/run/docker.sock or tcp://10.0.0.5:2376", text)
	}
	switch scheme {
	case "unix":
		if !strings.HasPrefix(rest, "/") {
			return address{}, fmt.Errorf("%q is not unix:// and an absolute path, such as unix:///var/run/docker.sock", text)
		}
		return address{text: text, network: "unix", path: rest, url: &url.URL{Scheme: "unix"}}, nil
	case "ssh":
		return address{}, errors.New("ssh:// would start a program for each connection, which Nitrox does not do; forward the socket with ssh -L and give that, or use tcp:// with TLS")
	case "token", "nodes", "file", "consul", "etcd", "zk":
		return address{}, fmt.Errorf("%s:// is where the manager of a classic Swarm finds its engines; give the manager's own address, such as tcp://10.0.0.5:3376", scheme)
	case "tcp", "http", "https":
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Hostname() == "":
			// The parser's error quotes the text, and with it a password.
			return address{}, fmt.Errorf("this is not a URL like %s://10.0.0.5:2376", scheme)
		case u.User != nil:
			return address{}, errors.New("a Docker daemon takes no user name and password; use cert_file and key_file")
		case u.RawQuery != "" || u.Fragment != "": // which may be a secret
			return address{}, fmt.Errorf("the URL of %s has more than a host, a port and a path; remove the rest", u.Host)
		case u.Port() == "":
			return address{}, fmt.Errorf("%q has no port; Docker's are 2376 with TLS and 2375 without", text)
		}
		return address{text: text, network: "tcp", url: u}, nil
	default:
		return address{}, fmt.Errorf("%s:// is not supported; use unix://, tcp://, http:// or https://", scheme)
	}
}
