//go:build !race

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/sourcetest"
)

// counted counts the bytes of answers.
type counted struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// Ten apps of a swarm of 5,000 services with ten tasks each cost what ten apps
// are; one that is not there costs a list of services more, and no memory.
func TestFewOfManyServices(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	const services, tasks, nodes = 5000, 10, 500
	spec := `"ContainerSpec":{"Image":"registry.example/web@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b","Env":["A=1","B=2","C=3"],` +
		`"Args":["` + strings.Repeat("x", 600) + `"]}`
	d := &dockertest.Daemon{Swarm: "active/manager"}
	for i := range nodes {
		role := []string{"manager", "worker"}[min(i, 1)]
		d.Nodes = append(d.Nodes, fmt.Sprintf(`{"ID":"node%021d","Spec":{"Role":%q,"Availability":"active"},"Description":{"Hostname":"n%d","TLSInfo":{"TrustRoot":%q}},`+
			`"Status":{"State":"ready","Addr":"10.1.%d.%d"}}`, i, role, i, strings.Repeat("x", 3000), i/250, i%250+1))
	}
	for i := range services {
		d.Services = append(d.Services, fmt.Sprintf(`{"ID":"service%018d","Spec":{"Name":"web-%d","Labels":{"com.citrix.lb.appname":"web-%d"},"Mode":{"Replicated":{"Replicas":10}},"TaskTemplate":{%s}},`+
			`"Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":30000,"PublishMode":"ingress"}]},"PreviousSpec":{"TaskTemplate":{%s}},`+
			`"ServiceStatus":{"RunningTasks":10,"DesiredTasks":10}}`, i, i, i, spec, spec))
		for j := range tasks {
			d.Tasks = append(d.Tasks, fmt.Sprintf(`{"ID":"task%021d","ServiceID":"service%018d","NodeID":"node%021d","Slot":%d,"Spec":{%s},"DesiredState":"running","Status":{"State":"running"}}`,
				i*tasks+j, i, (i*tasks+j)%nodes, j+1, spec))
		}
	}
	for name, c := range map[string]struct {
		from     func(i int) string
		mostRead int64
	}{
		"by name":          {func(i int) string { return fmt.Sprintf("service: web-%d", i) }, 2 << 20},
		"by label":         {func(i int) string { return fmt.Sprintf("label: com.citrix.lb.appname=web-%d", i) }, 2 << 20},
		"one is not there": {func(i int) string { return fmt.Sprintf("service: web-%d", services-9+i) }, 20 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			var bytes, requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				d.ServeHTTP(counted{w, &bytes}, r)
			}))
			defer server.Close()
			l := &hostileLab{t: t, dir: t.TempDir(), how: []string{"--dry-run"}, sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})}
			edge := httptest.NewServer(l.sim)
			defer edge.Close()
			var apps strings.Builder
			for i := range 10 {
				l.sim.AddGroup(fmt.Sprintf("sg-%d", i))
				fmt.Fprintf(&apps, "  - {name: app-%d, service_group: sg-%d, from: [{source: swarm, %s, port: 80}]}\n", i, i, c.from(i))
			}
			l.write("nitrox.yaml", fmt.Sprintf("netscalers: {edge: {url: %q}}\nsources: {swarm: {docker: {host: %q, timeout: 2m}}}\napps:\n%s",
				edge.URL, "tcp://"+server.Listener.Addr().String(), apps.String()))
			most, out := l.run()
			t.Logf("%d MiB resident, %d KiB read in %d requests", most, bytes.Load()>>10, requests.Load())
			if most > 60 || bytes.Load() > c.mostRead {
				t.Errorf("%d MiB resident, %d KiB read; at most 60 and %d", most, bytes.Load()>>10, c.mostRead>>10)
			}
			if n := strings.Count(out, "0 serving, 10 wanted"); n < 9 {
				t.Errorf("%d apps have their 10 endpoints:\n%s", n, out)
			}
		})
	}
}
