package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Listed are all ways to ask for each port, the usual one first; each is one that a
// mapping may have.
func TestList(t *testing.T) {
	api := cluster(aNode("n1", "192.0.2.1"), aNode("n2", "192.0.3.1"),
		aService("shop/account"),
		aService("shop/dns", with("spec.ports", []manifest{port("", 53, 0, "UDP"), port("", 53, 0, "TCP")})),
		aService("shop/local", with("spec.externalTrafficPolicy", "Local"), with("spec.ports", []manifest{port("", 80, 31081, "TCP")}),
			with("status.loadBalancer.ingress", []manifest{{"ip": "192.0.2.80"}})),
		aService("dev/away", with("spec.type", "ExternalName"), with("spec.ports", []manifest{port("http", 80, 0, "TCP")})))
	s := serve(t, api, Config{})
	list, err := s.List(t.Context())
	var got []string
	for _, l := range list {
		q := l.Query.(Query)
		if nodes := fmt.Sprint(l.Nodes); (l.At == "nodes") != (nodes == "[192.0.2.1 192.0.3.1]") {
			t.Errorf("%+v: nodes %s", q, nodes)
		}
		if err := q.Check(); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", l.Name, q.Port, l.At, q.Address, q.Nodes)))
	}
	want := []string{"shop/account http nodes", "shop/account http nodes  all", "shop/account http pods pod_ip",
		"shop/dns 53/udp pods pod_ip", "shop/dns 53/tcp pods pod_ip",
		"shop/local  nodes", "shop/local  pods pod_ip", "shop/local  load balancers load_balancer"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v\nwant %q", got, err, want)
	}
	api.forbidden = func(plural, namespace string) bool { return namespace == "" }
	if _, err := s.List(t.Context()); err == nil || !strings.Contains(err.Error(), "list services in all namespaces, for this once") {
		t.Errorf("where it is forbidden: %v", err)
	}
}
