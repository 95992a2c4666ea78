package marathon_test

import (
	"fmt"
	"slices"
	"testing"

	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
)

// A listed query is one that a poll can answer: the port only where there are
// several, by its name where that is one's own, and the protocol where it has two.
func TestList(t *testing.T) {
	mapped := func(id, mappings string) string {
		return fmt.Sprintf(`{"id": %q, "cmd": "x", "instances": 1, "networks": [{"mode": "container/bridge"}], "container": {"type": "DOCKER", "docker": {"image": "x"}, "portMappings": [%s]}}`, id, mappings)
	}
	c := deployed(t, marathontest.Options{URLs: []string{"http://marathon.test:8080"}}, webApp, `{"id": "/none", "cmd": "x", "instances": 1, "portDefinitions": []}`,
		mapped("/two", `{"containerPort": 80, "hostPort": 0, "name": "http"}, {"containerPort": 81, "hostPort": 0}`),
		mapped("/dns", `{"containerPort": 53, "hostPort": 0, "protocol": "udp,tcp", "name": "dns"}`))
	s := opened(t, marathon.Config{URLs: []string{"http://marathon.test:8080"}}, func(s *marathon.Source) { s.Transport = c.Transport() })
	list, err := s.List(t.Context())
	var got []string
	var queries []any
	for _, l := range list {
		got = append(got, fmt.Sprintf("%s %s", l.Name, l.Port))
		queries = append(queries, l.Query)
	}
	want := []string{"/dns dns/udp", "/dns dns/tcp", "/shop/web ", "/two http", "/two 1"}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%q %v, want %q", got, err, want)
	}
	for i, a := range poll(t, s, queries...) {
		if a.Doubt() != nil || len(a.Endpoints) == 0 {
			t.Errorf("%s: %+v %v", got[i], a.Endpoints, a.Doubt())
		}
	}
	c.Answer(0, 500, "no")
	if _, err := s.List(t.Context()); err == nil {
		t.Error("a Marathon that fails has a list")
	}
}
