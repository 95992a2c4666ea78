package marathon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
)

// ago is a time as Marathon writes it.
func ago(d time.Duration) string {
	return time.Now().Add(-d).UTC().Format("2006-01-02T15:04:05.000Z")
}

// rawApp is an app /a as Marathon lists it, of the keys and tasks given.
func rawApp(keys string, tasks ...string) string {
	return fmt.Sprintf(`{"id": "/a", "version": "2026-01-01T00:00:00.000Z", %s, "tasks": [%s]}`, keys, strings.Join(tasks, ", "))
}

// rawTask is a running task of it; keys come after, and replace, the usual.
func rawTask(id, host string, ports string, keys ...string) string {
	usual := fmt.Sprintf(`"id": %q, "host": %q, "ports": %s, "state": "TASK_RUNNING", "startedAt": %q, "version": "2026-01-01T00:00:00.000Z"`, id, host, ports, ago(time.Hour))
	return "{" + strings.Join(append([]string{usual}, keys...), ", ") + "}"
}

// one asks a cluster for one app, in process.
func one(t *testing.T, c *marathontest.Cluster, q marathon.Query, set ...func(*marathon.Source)) sources.Answer {
	t.Helper()
	s := opened(t, marathon.Config{URLs: []string{"http://marathon.test:8080"}}, func(s *marathon.Source) {
		s.Transport = c.Transport()
		for _, f := range set {
			f(s)
		}
	})
	answers, err := s.Poll(t.Context(), []any{q}, false)
	if err != nil {
		t.Fatal(err)
	}
	return answers[0]
}

// text writes an answer on lines: endpoints, a ? before uncertain ones, - before
// what was left out, and ! before a doubt.
func text(a sources.Answer) string {
	var lines []string
	for _, e := range a.Endpoints {
		line := e.Addr.String()
		if e.Protocol != sources.TCP {
			line += "/" + string(e.Protocol)
		}
		if e.Weight > 0 {
			line += fmt.Sprintf(" weight %d/%d", e.Weight, e.Of)
		}
		if e.Uncertain != "" {
			line = "? " + line + ": " + e.Uncertain
		}
		lines = append(lines, line)
	}
	for _, l := range a.LeftOut {
		lines = append(lines, fmt.Sprintf("- %s: %s", l.What, l.Why))
	}
	if a.Doubt() != nil {
		lines = append(lines, "! "+a.Doubt().Error())
	}
	return strings.Join(lines, "\n")
}

const (
	hostMode   = `"networks": [{"mode": "host"}], "portDefinitions": [{"port": 10000, "name": "http", "protocol": "tcp"}, {"port": 10001, "name": "admin", "protocol": "tcp"}]`
	bridgeMode = `"networks": [{"mode": "container/bridge"}], "container": {"type": "DOCKER", "portMappings": [
		{"containerPort": 80, "hostPort": 0, "servicePort": 10000, "name": "http", "protocol": "tcp"}, {"containerPort": 443, "hostPort": 0, "servicePort": 10001, "name": "https", "protocol": "tcp"}]}`
	// Of three ports only the second and third have one of the agent.
	overlayMode = `"networks": [{"mode": "container", "name": "dcos"}], "container": {"type": "MESOS", "portMappings": [
		{"containerPort": 80, "hostPort": null, "servicePort": 10000, "name": "http"}, {"containerPort": 443, "hostPort": 0, "servicePort": 10001, "name": "https"}, {"containerPort": 0, "hostPort": 0, "name": "any"}]}`
	dns     = `"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"containerPort": 53, "protocol": "udp", "name": "dns"}, {"containerPort": 53, "protocol": "tcp", "name": "dns"}]}`
	udpTCP  = `"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"containerPort": 53, "protocol": "udp,tcp"}]}`
	checked = hostMode + `, "healthChecks": [{"protocol": "HTTP", "portIndex": 0, "intervalSeconds": 60.0}, {"protocol": "TCP", "portIndex": 1}]`
)

// results are a task's health results.
func results(r ...string) string { return `"healthCheckResults": [` + strings.Join(r, ", ") + `]` }

const (
	alive   = `{"alive": true, "consecutiveFailures": 0, "firstSuccess": "2026-01-01T00:01:00.000Z", "lastFailure": null, "lastFailureCause": null, "instanceId": "a"}`
	failing = `{"alive": false, "consecutiveFailures": 2, "firstSuccess": "2026-01-01T00:01:00.000Z", "lastFailure": "2026-01-02T00:00:00.000Z", "lastFailureCause": "got 503"}`
	grace   = `{"alive": false, "consecutiveFailures": 0, "firstSuccess": null, "lastFailure": "2026-01-02T00:00:00.000Z"}`
)

// Each case is named for the line of the table of rules that it holds.
func TestResolution(t *testing.T) {
	tests := []struct {
		name, app, port, want string
	}{
		{"state: running tasks are used, others are not", rawApp(hostMode,
			rawTask("1", "10.0.0.1", "[31000, 31001]"),
			rawTask("2", "10.0.0.2", "[31000, 31001]", `"state": "TASK_STAGING"`),
			rawTask("3", "10.0.0.3", "[31000, 31001]", `"state": "TASK_STARTING"`),
			rawTask("4", "10.0.0.4", "[31000, 31001]", `"state": "TASK_KILLING"`),
			rawTask("5", "10.0.0.5", "[31000, 31001]", `"state": "TASK_GONE"`)), "0",
			"10.0.0.1:31000\n- task 2: its state is TASK_STAGING\n- task 3: its state is TASK_STARTING\n- task 4: it is being killed\n- task 5: its state is TASK_GONE"},
		{"lost: before Mesos said unreachable it said so, and it may be back", rawApp(hostMode,
			rawTask("1", "10.0.0.1", "[31000, 31001]", `"state": "TASK_LOST"`), rawTask("2", "10.0.0.2", "[31000, 31001]")), "http",
			"? 10.0.0.1:31000: Mesos cannot reach its agent\n10.0.0.2:31000"},
		{"lost: the master has forgotten it, and it may run", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"state": "TASK_UNKNOWN"`)), "http",
			"? 10.0.0.1:31000: Mesos cannot reach its agent"},
		{"lost: one that never started is not", rawApp(hostMode, `{"id": "1", "host": "10.0.0.1", "ports": [31000, 31001], "state": "TASK_LOST", "startedAt": null}`), "http",
			"- task 1: its state is TASK_LOST"},
		{"gone: dropped, failed and killed tasks are", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"state": "TASK_DROPPED"`), rawTask("2", "10.0.0.2", "[31000, 31001]", `"state": "TASK_FAILED"`),
			rawTask("3", "10.0.0.3", "[31000, 31001]", `"state": "TASK_GONE_BY_OPERATOR"`)), "http",
			"- task 1: its state is TASK_DROPPED\n- task 2: its state is TASK_FAILED\n- task 3: its state is TASK_GONE_BY_OPERATOR"},
		{"residency: what is only reserved does not run", rawApp(hostMode+`, "residency": {"taskLostBehavior": "WAIT_FOREVER"}`, `{"id": "1", "slaveId": "S1", "host": "10.0.0.1", "localVolumes": [{"runtimePrivileged": false, "persistenceId": "v"}], "ports": []}`), "http",
			"- task 1: its state is not given, and it has not started"},
		{"health: a command's result is no other than a request's", rawApp(hostMode+`, "healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}}]`, rawTask("1", "10.0.0.1", "[31000, 31001]", results(alive)), rawTask("2", "10.0.0.2", "[31000, 31001]", results("null"))), "http",
			"10.0.0.1:31000\n? 10.0.0.2:31000: Marathon has no health result for it"},
		{"host: an agent that has registered as loopback is a doubt", rawApp(hostMode, rawTask("1", "127.0.1.1", "[31000, 31001]"), rawTask("2", "10.0.0.2", "[31000, 31001]")), "http",
			"10.0.0.2:31000\n! app /a: task 1: no other machine is reached at 127.0.1.1; start the agent with the right --ip or --hostname"},
		{"host: one that has registered as a link-local address, too", rawApp(hostMode, rawTask("1", "169.254.3.4", "[31000, 31001]")), "http",
			"! app /a: task 1: no other machine is reached at 169.254.3.4; start the agent with the right --ip or --hostname"},
		{"ports: null for a service port, and 0", rawApp(`"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"containerPort": 80, "hostPort": null, "servicePort": 0, "protocol": null}]}`, rawTask("1", "10.0.0.1", "[31000]")), "80", "10.0.0.1:31000"},
		{"ports: UDP beside TCP", rawApp(`"networks": [{"mode": "host"}], "portDefinitions": [{"port": 10000, "protocol": "tcp"}, {"port": 10001, "protocol": "udp"}]`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "10001", "10.0.0.1:31001/udp"},
		{"ports: a network without a mode is one of containers", rawApp(`"networks": [{"name": "dcos"}], "container": {"portMappings": [{"containerPort": 80}]}`, rawTask("1", "10.0.0.1", "[]", `"ipAddresses": [{"ipAddress": "9.0.1.2"}]`)), "", "9.0.1.2:80"},
		{"ports: a CNI network without a service port", rawApp(`"networks": [{"mode": "container", "name": "mynet"}], "container": {"type": "MESOS", "portMappings": [{"containerPort": 9090, "protocol": "tcp"}]}, "ports": []`,
			rawTask("1", "10.0.0.1", "[]", `"ipAddresses": [{"ipAddress": "10.135.10.2", "protocol": "IPv4"}]`)), "9090", "10.135.10.2:9090"},
		{"ports: tcp,udp as it was written before it was udp,tcp", rawApp(`"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"containerPort": 53, "protocol": "tcp,udp"}]}`, rawTask("1", "10.0.0.1", "[31000]")), "53/udp", "10.0.0.1:31000/udp"},
		{"health: results of a task from before it was checked are unknown", rawApp(checked, rawTask("1", "10.0.0.1", "[31000, 31001]", `"version": "2025-12-01T00:00:00.000Z"`, results())), "http",
			"? 10.0.0.1:31000: Marathon has no health result for it"},
		{"ports: a virtual address in labels is not one of the app's", rawApp(`"networks": [{"mode": "host"}], "portDefinitions": [{"port": 10000, "labels": {"VIP_0": "/web:80"}}]`, rawTask("1", "10.0.0.1", "[31000]")), "", "10.0.0.1:31000"},
		{"ports: hostPort 0 of a container network before Marathon 1.5", rawApp(`"container": {"docker": {"network": "USER", "portMappings": [{"containerPort": 80, "hostPort": 0, "servicePort": 10000}]}}, "ipAddress": {"networkName": "x"}`,
			rawTask("1", "10.0.0.1", "[31000]", `"ipAddresses": [{"ipAddress": "9.0.1.2"}]`)), "80", "10.0.0.1:31000"},
		{"state: before Marathon had it, a task runs once it has started", rawApp(`"ports": [10000]`,
			`{"id": "1", "host": "10.0.0.1", "ports": [31000], "startedAt": "2016-05-16T15:40:48.027Z"}`,
			`{"id": "2", "host": "10.0.0.2", "ports": [31000], "startedAt": null, "stagedAt": "2016-05-16T15:40:48.027Z"}`), "",
			"10.0.0.1:31000\n- task 2: its state is not given, and it has not started"},
		{"unreachable: kept if it is bound, not added", rawApp(hostMode,
			rawTask("1", "10.0.0.1", "[31000, 31001]", `"state": "TASK_UNREACHABLE"`)), "http",
			"? 10.0.0.1:31000: Mesos cannot reach its agent"},
		{"unreachable for too long: without ports and start, out", rawApp(hostMode,
			`{"id": "1", "host": "10.0.0.1", "state": "TASK_UNREACHABLE", "ipAddresses": []}`, rawTask("2", "10.0.0.2", "[31000, 31001]")), "http",
			"10.0.0.2:31000\n- task 1: its agent has been unreachable for too long"},
		{"host: a task without one is skipped", rawApp(hostMode, rawTask("1", "", "[31000, 31001]"), rawTask("2", "10.0.0.2", "[31000, 31001]")), "0",
			"10.0.0.2:31000\n- task 1: its agent is not named"},
		{"host: no task has one, a doubt", rawApp(hostMode, rawTask("1", "", "[31000, 31001]")), "0",
			"- task 1: its agent is not named\n! app /a: none of its running tasks names its agent"},
		{"health: no checks, running suffices", rawApp(hostMode+`, "healthChecks": []`, rawTask("1", "10.0.0.1", "[31000, 31001]", results(failing))), "0", "10.0.0.1:31000"},
		{"health: all alive", rawApp(checked, rawTask("1", "10.0.0.1", "[31000, 31001]", results(alive, alive)), rawTask("2", "10.0.0.2", "[31000, 31001]", results(alive, alive, alive))), "0",
			"10.0.0.1:31000\n10.0.0.2:31000"},
		{"health: fewer results than checks are unknown, unless one fails", rawApp(checked, rawTask("1", "10.0.0.1", "[31000, 31001]", results(alive)), rawTask("2", "10.0.0.2", "[31000, 31001]", results(failing))), "0",
			"? 10.0.0.1:31000: Marathon has results of 1 of its 2 health checks\n- task 2: it is unhealthy, 2 failures: got 503"},
		{"health: one failing", rawApp(checked, rawTask("1", "10.0.0.1", "[31000, 31001]", results(alive, failing)), rawTask("2", "10.0.0.2", "[31000, 31001]", results("null", failing))), "0",
			"- task 1: it is unhealthy, 2 failures: got 503\n- task 2: it is unhealthy, 2 failures: got 503"},
		{"health: results missing, empty or null are unknown", rawApp(checked,
			rawTask("1", "10.0.0.1", "[31000, 31001]"), rawTask("2", "10.0.0.2", "[31000, 31001]", results()), rawTask("3", "10.0.0.3", "[31000, 31001]", results("null")),
			rawTask("4", "10.0.0.4", "[31000, 31001]", results(alive, "null")), rawTask("5", "10.0.0.5", "[31000, 31001]", `"healthCheckResults": null`)), "0",
			"? 10.0.0.1:31000: Marathon has no health result for it\n? 10.0.0.2:31000: Marathon has no health result for it\n? 10.0.0.3:31000: Marathon has no health result for it\n? 10.0.0.4:31000: Marathon has results of 1 of its 2 health checks\n? 10.0.0.5:31000: Marathon has no health result for it"},
		{"health: in its grace period", rawApp(checked, rawTask("1", "10.0.0.1", "[31000, 31001]", results(grace))), "0",
			"- task 1: it has not been healthy yet, and is in its grace period"},
		{"readiness: during a deployment not ready is out, and no result is young", rawApp(hostMode+`, "readinessChecks": [{"name": "r", "timeoutSeconds": 10}], "deployments": [{"id": "d"}],
			"readinessCheckResults": [{"name": "r", "taskId": "1", "ready": false, "lastResponse": {"status": 503, "contentType": "text/plain", "body": ""}}, {"name": "r", "taskId": "2", "ready": true}]`,
			rawTask("1", "10.0.0.1", "[31000, 31001]"), rawTask("2", "10.0.0.2", "[31000, 31001]"), rawTask("3", "10.0.0.3", "[31000, 31001]"),
			rawTask("4", "10.0.0.4", "[31000, 31001]", fmt.Sprintf(`"startedAt": %q`, ago(9*time.Second)))), "0",
			"10.0.0.2:31000\n10.0.0.3:31000\n? 10.0.0.4:31000: Marathon has no readiness result for it\n- task 1: it is not ready yet"},
		{"readiness: without a deployment it does not count", rawApp(hostMode+`, "readinessChecks": [{}], "deployments": [], "readinessCheckResults": [{"taskId": "1", "ready": false}]`,
			rawTask("1", "10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000"},

		{"ports, host: by index", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]")), "1", "10.0.0.1:31001"},
		{"ports, host: by name", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]")), "admin", "10.0.0.1:31001"},
		{"ports, host: by service port, which is not the port of the agent", rawApp(hostMode+`, "requirePorts": false`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "10001", "10.0.0.1:31001"},
		{"ports, host: before Marathon 1.0", rawApp(`"ports": [10000, 10001]`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "10001", "10.0.0.1:31001"},
		{"ports, bridge: by index", rawApp(bridgeMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"ipAddresses": [{"ipAddress": "172.17.0.2", "protocol": "IPv4"}]`)), "0", "10.0.0.1:31000"},
		{"ports, bridge: by container port", rawApp(bridgeMode, rawTask("1", "10.0.0.1", "[31000, 31001]")), "443", "10.0.0.1:31001"},
		{"ports, bridge: before Marathon 1.5", rawApp(`"container": {"type": "DOCKER", "docker": {"network": "BRIDGE", "portMappings": [{"containerPort": 8088, "hostPort": 0, "servicePort": 10001}, {"containerPort": 8888, "hostPort": 0, "servicePort": 10000}]}}, "ports": [80, 443]`,
			rawTask("1", "10.0.0.1", "[31000, 31001]")), "10000", "10.0.0.1:31001"},
		{"ports, bridge: without mappings, those that Marathon assigned", rawApp(`"container": {"docker": {"network": "BRIDGE"}}, "ports": [10000]`, rawTask("1", "10.0.0.1", "[31010]")), "", "10.0.0.1:31010"},
		{"ports, Docker on the host's network before Marathon 1.5", rawApp(`"container": {"docker": {"network": "HOST", "portMappings": null}}, "portDefinitions": [{"port": 10000}]`, rawTask("1", "10.0.0.1", "[31010]")), "", "10.0.0.1:31010"},
		{"ports, container: without hostPort, at the container's address", rawApp(overlayMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"ipAddresses": [{"ipAddress": "9.0.1.2", "protocol": "IPv4"}]`)), "http", "9.0.1.2:80"},
		{"ports, container: with hostPort, at the agent; ports are counted without the others", rawApp(overlayMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"ipAddresses": [{"ipAddress": "9.0.1.2", "protocol": "IPv4"}]`)), "https", "10.0.0.1:31000"},
		{"ports, container: container port 0 is the agent's", rawApp(overlayMode, rawTask("1", "10.0.0.1", "[31000, 31001]")), "any", "10.0.0.1:31001"},
		{"ports, container: no address yet", rawApp(overlayMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"ipAddresses": []`)), "http", "! app /a: task 1: its container has no address yet"},
		{"ports, container: before Marathon 1.5", rawApp(`"container": {"docker": {"network": "USER", "portMappings": [{"containerPort": 80, "servicePort": 10000}, {"containerPort": 81, "hostPort": 0}]}}, "ipAddress": {"networkName": "x"}`,
			rawTask("1", "10.0.0.1", "[31000]", `"ipAddresses": [{"ipAddress": "9.0.1.2"}, null]`)), "81", "10.0.0.1:31000"},
		{"ports, an address for each task before Marathon 1.5", rawApp(`"ipAddress": {"discovery": {"ports": [{"number": 8080, "name": "http", "protocol": "tcp"}]}}`,
			rawTask("1", "10.0.0.1", "[]", `"ipAddresses": [{"ipAddress": "9.0.1.2"}]`)), "http", "9.0.1.2:8080"},
		{"ports, container: on two networks, that of the mapping", rawApp(`"networks": [{"mode": "container", "name": "blue"}, {"mode": "container", "name": "green"}], "container": {"portMappings": [{"containerPort": 80, "networkNames": ["green"]}]}`,
			rawTask("1", "10.0.0.1", "[]", `"ipAddresses": [{"ipAddress": "9.0.1.2"}, {"ipAddress": "10.9.1.2"}]`)), "", "10.9.1.2:80"},
		{"ports, container: which address belongs to which network is not known", rawApp(`"networks": [{"mode": "container", "name": "blue"}, {"mode": "container", "name": "green"}], "container": {"portMappings": [{"containerPort": 80, "networkNames": ["green"]}]}`,
			rawTask("1", "10.0.0.1", "[]", `"ipAddresses": [{"ipAddress": "9.0.1.2"}]`)), "", "! app /a: task 1: its container has no address yet"},
		{"ports: an unknown mode is a doubt", rawApp(`"networks": [{"mode": "quantum"}], "portDefinitions": [{"port": 1}]`, rawTask("1", "10.0.0.1", "[31000]")), "", `! app /a: its network mode "quantum" is not host, container/bridge or container`},
		{"select: left out where there is one", rawApp(`"networks": [{"mode": "host"}], "portDefinitions": [{"port": 10000}]`, rawTask("1", "10.0.0.1", "[31000]")), "", "10.0.0.1:31000"},
		{"select: left out where there are two", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]")), "", "! app /a: it has 2 ports (0 http service port 10000; 1 admin service port 10001); choose one with port"},
		{"select: none matches", rawApp(bridgeMode, rawTask("1", "10.0.0.1", "[31000, 31001]")), "8080", "! app /a: it has no port 8080; it has 0 http service port 10000 container port 80; 1 https service port 10001 container port 443"},
		{"select: a service port before a container port", rawApp(`"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"containerPort": 9000, "servicePort": 80}, {"containerPort": 80, "servicePort": 81}]}`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "80", "10.0.0.1:31000"},
		{"select: two matches are a doubt", rawApp(`"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [{"containerPort": 80}, {"containerPort": 80}]}`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "80",
			"! app /a: port 80 matches 2 of its ports (0 container port 80; 1 container port 80); choose one by its index, from 0 to 1"},
		{"select: of one port for TCP and UDP one must be chosen", rawApp(dns, rawTask("1", "10.0.0.1", "[31000, 31001]")), "dns", "! app /a: it has port dns for several protocols; choose one: port: dns/tcp or port: dns/udp"},
		{"select: so by its number", rawApp(dns, rawTask("1", "10.0.0.1", "[31000, 31001]")), "53", "! app /a: it has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp"},
		{"select: UDP of both", rawApp(dns, rawTask("1", "10.0.0.1", "[31000, 31001]")), "53/udp", "10.0.0.1:31000/udp"},
		{"select: TCP of both", rawApp(dns, rawTask("1", "10.0.0.1", "[31000, 31001]")), "dns/tcp", "10.0.0.1:31001"},
		{"select: an index has its protocol", rawApp(dns, rawTask("1", "10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000/udp"},
		{"select: an index of another protocol", rawApp(dns, rawTask("1", "10.0.0.1", "[31000, 31001]")), "0/tcp", "! app /a: it has no port 0/tcp; it has 0 dns container port 53 udp; 1 dns container port 53"},
		{"select: one port for both", rawApp(udpTCP, rawTask("1", "10.0.0.1", "[31000]")), "53/udp", "10.0.0.1:31000/udp"},
		{"select: one port for both, and TCP", rawApp(udpTCP, rawTask("1", "10.0.0.1", "[31000]")), "53/tcp", "10.0.0.1:31000"},
		{"select: one port for both must be chosen", rawApp(udpTCP, rawTask("1", "10.0.0.1", "[31000]")), "53", "! app /a: it has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp"},
		{"select: also if it is the only one", rawApp(udpTCP, rawTask("1", "10.0.0.1", "[31000]")), "", "! app /a: it has port 0 for several protocols; choose one: port: 0/tcp or port: 0/udp"},
		{"select: no ports at all", rawApp(`"networks": [{"mode": "host"}], "portDefinitions": []`, rawTask("1", "10.0.0.1", "[]")), "", "! app /a: it has no ports"},
		{"old version: the same number of ports is taken for the same ports", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"version": "2025-12-01T00:00:00.000Z"`)), "1", "10.0.0.1:31001"},
		{"old version: another number of ports is a doubt, and new tasks are added", rawApp(hostMode,
			rawTask("1", "10.0.0.1", "[31000]", `"version": "2025-12-01T00:00:00.000Z"`), rawTask("2", "10.0.0.2", "[31000, 31001]")), "0",
			"10.0.0.2:31000\n! app /a: task 1: it runs version 2025-12-01T00:00:00.000Z with 1 ports, but the app now has 2, so they cannot be matched"},
		{"old version: scaling makes none", rawApp(hostMode+`, "version": "2026-06-01T00:00:00.000Z", "versionInfo": {"lastScalingAt": "2026-06-01T00:00:00.000Z", "lastConfigChangeAt": "2026-01-01T00:00:00.000Z"}`,
			rawTask("1", "10.0.0.1", "[31000]")), "0", "10.0.0.1:31000"},
		{"a task has fewer ports than its definition", rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000]")), "1", "! app /a: task 1: it has 1 ports where the app's definition has 2"},
		{"a port that is none", rawApp(hostMode, rawTask("1", "10.0.0.1", "[0, 70000]")), "1", "! app /a: task 1: its port 70000 is not a port number"},
		{"two doubts", rawApp(hostMode, rawTask("1", "10.0.0.1", "[0, 70000]"), rawTask("2", "10.0.0.1", "[0, 0]")), "1", "! app /a: task 1: its port 70000 is not a port number (and 1 more)"},
		{"IPv6: agents and containers", rawApp(overlayMode, rawTask("1", "2001:db8::1", "[31000, 31001]", `"ipAddresses": [{"ipAddress": "2001:db8::9", "protocol": "IPv6"}]`)), "0", "[2001:db8::9]:80"},
		{"IPv6: an agent", rawApp(hostMode, rawTask("1", "2001:DB8:0::1", "[31000, 31001]"), rawTask("2", "[2001:db8::2]", "[31000, 31001]")), "0", "[2001:db8::1]:31000\n[2001:db8::2]:31000"},
		{"IPv6: IPv4 is preferred of a container that has both", rawApp(overlayMode, rawTask("1", "10.0.0.1", "[31000, 31001]", `"ipAddresses": [{"ipAddress": "2001:db8::9", "protocol": "IPv6"}, {"ipAddress": "9.0.1.2", "protocol": "IPv4"}]`)), "0", "9.0.1.2:80"},
		{"IPv6: an IPv4 address in its form", rawApp(hostMode, rawTask("1", "::ffff:10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000"},
		{"IPv6: a zone is a doubt", rawApp(hostMode, rawTask("1", "fe80::1%eth0", "[31000, 31001]")), "0", "! app /a: task 1: no other machine is reached at fe80::1%eth0; start the agent with the right --ip or --hostname"},
		{"weight: from the label", rawApp(hostMode+`, "labels": {"nitrox.weight": "7", "HAPROXY_GROUP": "external"}`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000 weight 7/100"},
		{"weight: a number in the label, which some tools write", rawApp(hostMode+`, "labels": {"nitrox.weight": 7, "n": null}`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000 weight 7/100"},
		{"weight: none that can be used is said", rawApp(hostMode+`, "labels": {"nitrox.weight": "101"}`, rawTask("1", "10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000\n- label nitrox.weight=101: a weight is a number from 1 to 100"},
		{"the same host with other ports is another endpoint, the same port is one, and the certain counts", rawApp(checked,
			rawTask("1", "10.0.0.1", "[31000, 1]", results(alive, alive)), rawTask("2", "10.0.0.1", "[31002, 1]"), rawTask("3", "10.0.0.1", "[31002, 1]", results(alive, alive))), "0", "10.0.0.1:31000\n10.0.0.1:31002"},
		{"no tasks is the truth, whatever the port", rawApp(hostMode), "nonsense", ""},
		{"tasks that are not listed are a doubt", `{"id": "/a", "tasks": null}`, "", "! app /a: it is listed without its tasks"},
		{"what Marathon writes and others do not read harms nothing", rawApp(hostMode+`, "env": {"A": null, "B": 3, "C": {"secret": "s"}}, "constraints": [["hostname", "MAX_PER", 2]], "labels": {"n": 1}, "container": {"volumes": [{"external": {"options": {"size": 5}}}], "docker": null}`,
			rawTask("1", "10.0.0.1", "[31000, 31001]")), "0", "10.0.0.1:31000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := marathontest.New(marathontest.Options{})
			c.Raw(test.app)
			if got := text(one(t, c, marathon.Query{App: "/a", Port: sources.Port(test.port)})); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

// A hand that scales an app down is seen before Mesos says that tasks are
// killed; but never is a task left out that Marathon might spare.
func TestScalingDownBeginsTheDrainEarly(t *testing.T) {
	at := func(id string, age time.Duration, keys ...string) string {
		return rawTask(id, "10.0.0."+id, "[31000, 31001]", append([]string{fmt.Sprintf(`"startedAt": %q`, ago(age))}, keys...)...)
	}
	three := []string{at("1", 3*time.Hour), at("2", 2*time.Hour), at("3", time.Hour)}
	down := hostMode + `, "instances": 2, "killSelection": "YOUNGEST_FIRST", "deployments": [{"id": "d"}]`
	const all = "10.0.0.1:31000\n10.0.0.2:31000\n10.0.0.3:31000"
	tests := []struct {
		name, keys string
		tasks      []string
		want       string
	}{
		{"the youngest", down, three, "10.0.0.1:31000\n10.0.0.2:31000\n- task 3: the app is being scaled down to 2, youngest first"},
		{"the oldest", strings.Replace(down, "YOUNGEST", "OLDEST", 1), three, "10.0.0.2:31000\n10.0.0.3:31000\n- task 1: the app is being scaled down to 2, oldest first"},
		{"to none", strings.Replace(down, "2", "0", 1), three[:1], "- task 1: the app is being scaled down to 0, youngest first"},
		{"one is being killed already", down, append(slices.Clone(three[:2]), at("3", time.Hour, `"state": "TASK_KILLING"`)), "10.0.0.1:31000\n10.0.0.2:31000\n- task 3: it is being killed"},
		{"no deployment", strings.Replace(down, `{"id": "d"}`, "", 1), three, all},
		{"no fewer tasks than instances", strings.Replace(down, `"instances": 2`, `"instances": 3`, 1), three, all},
		{"constraints have a say", down + `, "constraints": [["hostname", "UNIQUE"]]`, three, all},
		{"no killSelection", strings.Replace(down, `"killSelection": "YOUNGEST_FIRST"`, `"killSelection": ""`, 1), three, all},
		{"an older version goes for another reason", down, append([]string{at("1", 3*time.Hour, `"version": "2025-01-01T00:00:00.000Z"`)}, three[1:]...), all},
		{"one is staging, and goes first", down, append(slices.Clone(three), at("4", time.Minute, `"state": "TASK_STAGING"`)), all + "\n- task 4: its state is TASK_STAGING"},
		{"two are as old", down, []string{three[0], three[1], strings.Replace(three[1], `"2"`, `"3"`, 1)}, "10.0.0.1:31000\n10.0.0.2:31000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := marathontest.New(marathontest.Options{})
			c.Raw(rawApp(test.keys, test.tasks...))
			if got := text(one(t, c, marathon.Query{App: "/a", Port: "0"})); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

// Agents are often known by name. A resolver that fails must not cost members.
func TestNamesOfAgents(t *testing.T) { synctest.Test(t, testNamesOfAgents) }

func testNamesOfAgents(t *testing.T) {
	c := marathontest.New(marathontest.Options{})
	c.Raw(rawApp(hostMode, rawTask("1", "agent1.example.com", "[31000, 31001]"), rawTask("2", "10.0.0.2", "[31000, 31001]"), rawTask("3", "agent1.example.com", "[31005, 31006]")))
	var asked int
	broken := false
	s := opened(t, marathon.Config{URLs: []string{"http://marathon.test:8080"}}, func(s *marathon.Source) {
		s.Transport = c.Transport()
		s.Resolve(func(_ context.Context, host string) ([]netip.Addr, error) {
			asked++
			if broken {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.5")}, nil
		})
	})
	poll := func(fresh bool, want string) {
		t.Helper()
		answers, err := s.Poll(t.Context(), []any{marathon.Query{App: "/a", Port: "0"}}, fresh)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(answers[0]); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
	const unknown = "10.0.0.2:31000\n! app /a: task 1: look up agent agent1.example.com: no such host (and 1 more)"
	const known = "10.0.0.2:31000\n10.0.0.5:31000\n10.0.0.5:31005"
	broken = true
	poll(false, unknown) // never known, so a doubt
	broken = false
	poll(false, known)
	if asked != 2 {
		t.Errorf("the name was looked up %d times in two polls, want 2", asked)
	}
	broken = true
	poll(false, known)  // from the cache
	poll(true, unknown) // of which a fresh poll takes nothing
	time.Sleep(10 * time.Minute)
	poll(false, known)  // too old, but better than none
	poll(true, unknown) // and again not for a fresh poll
	poll(false, known)  // which leaves it in place
}

// Answers in the forms that were recorded of real Marathons are read whole.
func TestRecordedForms(t *testing.T) {
	for name, want := range map[string]string{
		"v1.5.2.json": "192.0.2.21:11001\n? 192.0.2.22:9001: Marathon has no health result for it",
		"v1.1.json":   "? 192.0.2.21:31616: Marathon has results of 1 of its 2 health checks\n- task shop_catalog.d7a3a630-1111-11e6-8000-02429f4f0fd6: it is unhealthy, 3 failures",
	} {
		body, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		c := marathontest.New(marathontest.Options{})
		c.Answer(0, 200, string(body))
		port := map[string]string{"v1.5.2.json": "10004", "v1.1.json": "8888"}[name]
		if got := text(one(t, c, marathon.Query{App: "/shop/catalog", Port: sources.Port(port)})); got != want {
			t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

// How old a task is, is a matter of Marathon's clock, which is in its answer;
// without one it is ours.
func TestTimeIsMarathons(t *testing.T) {
	list := `{"apps": [` + rawApp(hostMode+`, "readinessChecks": [{"timeoutSeconds": 10}], "deployments": [{"id": "d"}]`, rawTask("1", "10.0.0.1", "[31000, 31001]")) + `]}`
	const uncertain = "? 10.0.0.1:31000: Marathon has no readiness result for it"
	for _, test := range []struct {
		name, date, want string
	}{
		{"ours, an hour after the start", "", "10.0.0.1:31000"},
		{"Marathon's, at the start", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), uncertain},
		{"Marathon's, 20 s after the start", time.Now().Add(20*time.Second - time.Hour).UTC().Format(http.TimeFormat), "10.0.0.1:31000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := opened(t, marathon.Config{URLs: []string{"http://m1"}}, func(s *marathon.Source) {
				s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Request: r, Header: http.Header{"Date": {test.date}}, Body: io.NopCloser(strings.NewReader(list))}, nil
				})
			})
			if got := text(poll(t, s, marathon.Query{App: "/a", Port: "0"})[0]); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
