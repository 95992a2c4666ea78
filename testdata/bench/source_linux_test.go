package bench

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/docker/dockertest"
)

// plan lets Nitrox plan apps of a source, for a NetScaler with groups that have no members.
func plan(t testing.TB, d *door, source string, apps, endpoints int, query func(n int) string) cost {
	t.Helper()
	sim, dir := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}}), t.TempDir()
	var conf, list strings.Builder
	for n := range apps {
		fmt.Fprintf(&conf, "add serviceGroup sg-%d HTTP\n", n)
		fmt.Fprintf(&list, "  - {name: app-%d, service_group: sg-%d, from: [{source: prod, %s}]}\n", n, n, query(n))
	}
	if err := sim.Load(strings.NewReader(conf.String())); err != nil {
		t.Fatal(err)
	}
	kubeconfig(t, dir, d.URL)
	write(t, dir, "nitrox.yaml", fmt.Sprintf("netscalers: {edge: {url: %q}}\nsources: {prod: {%s}}\napps:\n%s", open(t, sim).URL, source, list.String()))
	p := start(t, binary, nil, "plan", "--config", filepath.Join(dir, "nitrox.yaml"))
	c := p.end().moved(d.since(cost{}))
	if n := strings.Count(p.output.String(), "+ bind"); n != endpoints {
		t.Fatalf("%d endpoints, want %d:\n%.3000s", n, endpoints, p.output.String())
	}
	return c
}

// planKubernetes plans the first apps of a cluster.
func planKubernetes(t testing.TB, i *installation, apps int) cost {
	return plan(t, open(t, i), `kubernetes: {kubeconfig: kubeconfig}`, apps, apps*i.pods, func(n int) string { return fmt.Sprintf("service: shop/app-%d, port: http", n) })
}

// planDocker plans some services of a swarm, with ten tasks each.
func planDocker(t testing.TB, apps, services int) cost {
	const tasks = 10
	nodes := max(20, services/10)
	spec := `"ContainerSpec":{"Image":"registry.example/web@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b","Env":["A=1","B=2","C=3"],` +
		`"Args":["` + strings.Repeat("x", 600) + `"]}`
	d := &dockertest.Daemon{Swarm: "active/manager"}
	for i := range nodes {
		d.Nodes = append(d.Nodes, fmt.Sprintf(`{"ID":"node%021d","Spec":{"Role":%q,"Availability":"active"},"Description":{"Hostname":"n%d","TLSInfo":{"TrustRoot":%q}},`+
			`"Status":{"State":"ready","Addr":%q}}`, i, []string{"manager", "worker"}[min(i, 1)], i, strings.Repeat("x", 3000), nodeIP(i)))
	}
	for i := range services {
		d.Services = append(d.Services, fmt.Sprintf(`{"ID":"service%018d","Spec":{"Name":"web-%d","Mode":{"Replicated":{"Replicas":10}},"TaskTemplate":{%s}},`+
			`"Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":30000,"PublishMode":"ingress"}]},"PreviousSpec":{"TaskTemplate":{%s}},`+
			`"ServiceStatus":{"RunningTasks":10,"DesiredTasks":10}}`, i, i, spec, spec))
		for j := range tasks {
			d.Tasks = append(d.Tasks, fmt.Sprintf(`{"ID":"task%021d","ServiceID":"service%018d","NodeID":"node%021d","Slot":%d,"Spec":{%s},"DesiredState":"running","Status":{"State":"running"}}`,
				i*tasks+j, i, (i*tasks+j)%nodes, j+1, spec))
		}
	}
	server := open(t, d)
	return plan(t, server, fmt.Sprintf(`docker: {host: "tcp://%s"}`, server.Listener.Addr()), apps, apps*tasks, func(n int) string { return fmt.Sprintf("service: web-%d, port: 80", n) })
}

// planMarathon plans some apps with ten tasks each.
func planMarathon(t testing.TB, apps, of int) cost {
	const tasks = 10
	env := strings.Repeat(`"SETTING": "value value value value value value value value value",`, 20)
	texts := make([]string, of)
	for i := range texts {
		var b strings.Builder
		fmt.Fprintf(&b, `{"id":"/app-%d","instances":%d,"networks":[{"mode":"host"}],"portDefinitions":[{"port":0,"protocol":"tcp"}],"env":{%s"A":"1"},"tasks":[`, i, tasks, env)
		for j := range tasks {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":"app-%d.%d","appId":"/app-%d","host":%q,"ports":[31000],"state":"TASK_RUNNING","startedAt":"2026-01-01T00:00:00.000Z",`+
				`"ipAddresses":[{"ipAddress":"172.17.0.2","protocol":"IPv4"}],"slaveId":"2c4c3cc8-4e2c-4d8e-b4f9-2c6a7b4c8f80-S1"}`, i, j, i, podIP(i*tasks+j))
		}
		texts[i] = b.String() + "]}"
	}
	d := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		kept := texts
		if id := r.URL.Query().Get("id"); id != "" {
			kept = nil
			for i, text := range texts {
				if strings.Contains(fmt.Sprint("/app-", i), id) {
					kept = append(kept, text)
				}
			}
		}
		w.Write([]byte(`{"apps":[` + strings.Join(kept, ",") + `]}`))
	}))
	return plan(t, d, fmt.Sprintf(`marathon: {urls: [%q]}`, d.URL), apps, apps*tasks, func(n int) string { return fmt.Sprintf("app: /app-%d", n) })
}
