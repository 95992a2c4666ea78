package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPoll is a poll of apps, of which each has some endpoints, on nodes as
// they are: what it asks for, and what it costs beside the network.
func BenchmarkPoll(b *testing.B) {
	for _, c := range []struct{ apps, services, endpoints, nodes int }{
		{300, 300, 5_000, 500},
		{100, 10_000, 1_000, 5_000},
		{5_000, 5_000, 100_000, 5_000},
	} {
		for _, form := range []string{"protobuf", "JSON"} {
			b.Run(fmt.Sprintf("%d apps of %d services, %d endpoints, %d nodes/%s", c.apps, c.services, c.endpoints, c.nodes, form), func(b *testing.B) {
				objects, queries := installation(c.apps, c.services, c.endpoints, c.nodes)
				a := cluster(objects...)
				a.onlyJSON = form == "JSON"
				benchmarkPoll(b, a, queries, c.endpoints/c.apps)
			})
		}
	}
}

// installation are the objects of a cluster, of which the apps have the endpoints.
func installation(apps, services, endpoints, nodes int) (objects []manifest, queries []Query) {
	at := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
	pods := make([][]manifest, apps)
	for i := range endpoints {
		pods[i%apps] = append(pods[i%apps], aPod(fmt.Sprintf("service-%d-6c3c624b58-%05d", i%apps, i), at(1<<20+i), fmt.Sprintf("node-%d", i*37%nodes)))
	}
	for i := range services {
		name := fmt.Sprintf("shop/service-%d", i)
		objects = append(objects, aService(name, managed()))
		if i < apps {
			objects = append(objects, aSlice(name, pods[i]...).but(managed()))
			queries = append(queries, Query{Service: name, Address: PodIP})
			if i%2 == 0 {
				queries[i].Address = NodePort
			}
		}
	}
	for i := range nodes {
		objects = append(objects, aMachine(fmt.Sprintf("node-%d", i), at(i)))
	}
	return objects, queries
}

// managed adds what controllers note about an object.
func managed() option {
	return with("metadata.managedFields", []manifest{{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
		"fieldsType": "FieldsV1", "fieldsV1": manifest{"f:metadata": manifest{"f:labels": manifest{".": manifest{}, "f:app": manifest{}}}, "f:spec": manifest{"f:ports": manifest{}}}}})
}

// aMachine is a node with all that a kubelet tells of one: 16 KB in JSON.
func aMachine(name, address string) manifest {
	var images, conditions []manifest
	for i := range 50 {
		image := fmt.Sprintf("registry.example.com/team-%d/image-%d", i%7, i)
		images = append(images, manifest{"names": []string{image + "@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b", image + ":v1.27.3-20260101-6c3c624b"},
			"sizeBytes": 100<<20 + i})
	}
	for _, kind := range []string{"NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready"} {
		conditions = append(conditions, manifest{"type": kind, "status": map[bool]string{true: "True", false: "False"}[kind == "Ready"], "reason": "KubeletHasSufficient" + kind,
			"message": "kubelet has sufficient " + kind + " available", "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"})
	}
	resources := manifest{"cpu": "64", "ephemeral-storage": "196209120Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0", "memory": "131808568Ki", "pods": "250"}
	labels := map[string]string{}
	for _, l := range []string{"beta.kubernetes.io/arch", "beta.kubernetes.io/os", "kubernetes.io/arch", "kubernetes.io/os", "kubernetes.io/hostname",
		"node.kubernetes.io/instance-type", "failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"} {
		labels[l] = "eu-central-1a"
	}
	return aNode(name, address, managed(), with("metadata.labels", labels), with("metadata.annotations", map[string]string{
		"csi.volume.kubernetes.io/nodeid": `{"ebs.csi.aws.com":"i-0a1b2c3d4e5f60718"}`, "volumes.kubernetes.io/controller-managed-attach-detach": "true"}),
		with("spec", manifest{"podCIDR": "10.244.0.0/24", "podCIDRs": []string{"10.244.0.0/24"}, "providerID": "aws:///eu-central-1a/i-0a1b2c3d4e5f60718"}),
		with("status.images", images), with("status.conditions", conditions), with("status.capacity", resources), with("status.allocatable", resources),
		with("status.nodeInfo", manifest{"machineID": "ec2c0a4b7d9e", "systemUUID": "ec2c0a4b-7d9e", "bootID": "7d9eec2c", "kernelVersion": "6.8.0-40-generic",
			"osImage": "Ubuntu 24.04 LTS", "containerRuntimeVersion": "containerd://2.0.1", "kubeletVersion": "v1.34.2", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"}))
}

func benchmarkPoll(b *testing.B, a *apiserver, queries []Query, endpoints int) {
	debug.SetMemoryLimit(4 << 30) // the answers to be given are in memory, too
	s, err := Open(Config{})
	if err != nil {
		b.Fatal(err)
	}
	bodies := map[string][]byte{} // the server's own work is done once
	requests, served := 0, 0
	s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) {
		a.mu.Lock()
		r.RequestURI = r.URL.RequestURI()
		body := bodies[r.RequestURI]
		a.mu.Unlock()
		if body == nil {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			body = w.Body.Bytes()
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		bodies[r.RequestURI] = body
		requests++
		served += len(body)
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
	})
	poll := func() {
		answers, err := s.Poll(b.Context(), queries, true)
		if err != nil || answers[1].Doubt() != nil || len(answers[1].Endpoints) < endpoints {
			b.Fatalf("%v %.1000v", err, answers)
		}
	}
	poll()
	requests, served = 0, 0
	b.ReportAllocs()
	began, polls := spent(b), 0
	for b.Loop() {
		polls++
		poll()
	}
	b.ReportMetric((spent(b)-began).Seconds()/float64(polls), "CPU-s/op")
	b.ReportMetric(float64(requests)/float64(polls), "requests/op")
	b.ReportMetric(float64(served)/1e6/float64(polls), "MB-read/op")
}

// spent is how long this process has been computing.
func spent(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
