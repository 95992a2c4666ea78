package docker_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/docker"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config docker.Config
		want   string // key: message
	}{
		"nothing":             {docker.Config{}, "host: give the address of the Docker daemon"},
		"host and hosts":      {docker.Config{Host: "tcp://a:1", Hosts: []string{"tcp://b:1"}}, "hosts: give either host or hosts, not both"},
		"no scheme":           {docker.Config{Host: "10.0.0.5:2375"}, `host: "10.0.0.5:2375" does not begin with unix://`},
		"ssh":                 {docker.Config{Host: "ssh://10.0.0.5"}, "host: ssh:// would start a program"},
		"npipe":               {docker.Config{Host: "npipe:////./pipe/docker"}, "host: npipe:// is not supported"},
		"a classic discovery": {docker.Config{Host: "token://hunter22"}, "host: token:// is where the manager of a classic Swarm finds its engines; give the manager's own address"},
		"a secret in a query": {docker.Config{Host: "http://10.0.0.5?token=hunter22"}, `host: the URL of 10.0.0.5 has more than a host, a port and a path; remove the rest`},
		"no port":             {docker.Config{Host: "tcp://10.0.0.5"}, `host: "tcp://10.0.0.5" has no port; Docker's are 2376 with TLS and 2375 without`},
		"no host":             {docker.Config{Host: "tcp://:2375"}, "host: this is not a URL like tcp://10.0.0.5:2376"},
		"a query":             {docker.Config{Host: "http://10.0.0.5:2375/?a=b"}, "more than a host, a port and a path"},
		"a relative socket":   {docker.Config{Host: "unix://docker.sock"}, "is not unix:// and an absolute path"},
		"a second bad one":    {docker.Config{Hosts: []string{"tcp://a:1", "b"}}, `hosts[1]: "b" does not begin with`},
		"twice the same":      {docker.Config{Hosts: []string{"tcp://a:1", "tcp://a:1"}}, "hosts[1]: tcp://a:1 is listed twice"},
		"TLS on a socket":     {docker.Config{Host: "unix:///d.sock", CAFile: "ca.pem"}, "host: a local socket has no TLS"},
		"TLS and http":        {docker.Config{Host: "http://a:1", ServerName: "b"}, "host: http:// contradicts ca_file"},
		"a key alone":         {docker.Config{Host: "tcp://a:1", KeyFile: "key.pem"}, "cert_file: cert_file and key_file must be given together"},
		"a certificate alone": {docker.Config{Host: "tcp://a:1", CertFile: "cert.pem"}, "key_file: cert_file and key_file"},
		"an unknown kind":     {docker.Config{Host: "tcp://a:1", Kind: "Swarm"}, `kind: "Swarm" is not swarm, classic or engine`},
		"several engines":     {docker.Config{Hosts: []string{"tcp://a:1", "tcp://b:1"}, Kind: docker.Engine}, "hosts: hosts are the managers of one swarm; give each engine a source of its own"},
		"a label, no nodes":   {docker.Config{Host: "tcp://a:1", Kind: docker.Engine, NodeLabel: "ip"}, "node_label: only nodes in swarm mode"},
		"an address, nodes":   {docker.Config{Host: "tcp://a:1", Kind: docker.Swarm, HostAddress: netip.MustParseAddr("10.0.0.1")}, "host_address: it is for a single engine"},
		"a loopback address":  {docker.Config{Host: "tcp://a:1", HostAddress: netip.MustParseAddr("127.0.0.1")}, "host_address: 127.0.0.1 cannot be bound"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := docker.Open(c.config)
			var key *sources.KeyError
			if !errors.As(err, &key) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
	for _, host := range []string{"tcp://u:s3cret@10.0.0.5:2376", "https://u:s3cret@10.0.0.5:2376", "tcp://u:s3cret@[::1:2376", "tcp://u:s3cret%@a:1"} {
		if _, err := docker.Open(docker.Config{Host: host}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v: a password must be refused, and not printed", err)
		}
	}
	for _, c := range []struct {
		query docker.Query
		want  string
	}{
		{docker.Query{}, "service: give a service or a label"},
		{docker.Query{Service: "a", Label: "b=c"}, "label: give either service or label, not both"},
		{docker.Query{Label: "app"}, "label: a label has the form key=value"},
		{docker.Query{Label: "=web"}, "label: a label has the form key=value"},
		{docker.Query{Service: "a", Port: "65536"}, "port: a port is a number from 1 to 65535"},
		{docker.Query{Service: "a", Port: "-1"}, "port: a port is a number"},
	} {
		if err := c.query.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v does not say %q", c.query, err, c.want)
		}
	}
	if err := (docker.Query{Label: "a="}).Check(); err != nil {
		t.Errorf("a label may have an empty value: %v", err)
	}
}
