package marathon_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sources/sourcetest"
)

// opened is an opened source with what a test sets in it.
func opened(t *testing.T, config marathon.Config, set func(*marathon.Source)) sources.Opened {
	t.Helper()
	kind := sources.Define("marathon", func(c marathon.Config) (*marathon.Source, error) {
		s, err := marathon.Open(c)
		if err == nil && set != nil {
			set(s)
		}
		return s, err
	})
	s, err := kind.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// secret writes a file and returns its name.
func secret(t *testing.T, text string) sources.Path {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return sources.Path(name)
}

const webApp = `{"id": "/shop/web", "cmd": "web", "instances": 3, "networks": [{"mode": "container/bridge"}],
	"container": {"type": "DOCKER", "docker": {"image": "web:1"}, "portMappings": [{"containerPort": 80, "hostPort": 0, "servicePort": 10000, "name": "http"}]},
	"healthChecks": [{"protocol": "MESOS_HTTP", "portIndex": 0, "intervalSeconds": 10}]}`

// deployed is a cluster on which apps run and are healthy.
func deployed(t *testing.T, o marathontest.Options, definitions ...string) *marathontest.Cluster {
	t.Helper()
	c := marathontest.New(o)
	for _, d := range definitions {
		if err := c.Put(d); err != nil {
			t.Fatal(err)
		}
	}
	c.Settle()
	return c
}

func endpoints(addrs ...string) []sources.Endpoint {
	var all []sources.Endpoint
	for _, a := range addrs {
		all = append(all, sources.Endpoint{Addr: netip.MustParseAddrPort(a), Protocol: sources.TCP})
	}
	return all
}

// fixture is a healthy cluster for the common suite.
func fixture(t *testing.T, o marathontest.Options, config marathon.Config) sourcetest.Fixture {
	good, broken := deployed(t, o, webApp), deployed(t, o, webApp)
	broken.Raw(`{"id": "/shop/odd", "tasks": [{"id": "odd.1", "ports": "31000"}]}`)
	const max = 1 << 20
	return sourcetest.Fixture{
		Open: func(t *testing.T, url string) sources.Opened {
			config := config
			config.URLs = []string{url + o.Path}
			return opened(t, config, func(s *marathon.Source) { s.Limit(max) })
		},
		Query: marathon.Query{App: "/shop/web", Port: "http"}, Want: endpoints(good.Serving("/shop/web")...),
		Absent:  marathon.Query{App: "/shop/gone"},
		Handler: good.Handler(0), Requests: []string{"/v2/apps"}, Missing: []string{"/v2/pods/shop/gone"}, MaxBody: max,
		Broken: broken.Handler(0), BrokenQuery: marathon.Query{App: "/shop/odd"},
	}
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, fixture(t, marathontest.Options{}, marathon.Config{}))
}

func TestSuiteUnderAPathAndCompressed(t *testing.T) {
	sourcetest.Run(t, fixture(t, marathontest.Options{Path: "/service/marathon", Gzip: true}, marathon.Config{}))
}
