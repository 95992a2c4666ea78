package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkPoll is a poll of 300 services with 5,000 pods on 500 nodes of 50
// images: what it asks for, and what it costs beside the network.
func BenchmarkPoll(b *testing.B) {
	const apps, machines, running = 300, 500, 5000
	var objects []manifest
	endpoints := make([][]manifest, apps)
	for i := range running {
		endpoints[i%apps] = append(endpoints[i%apps], aPod(fmt.Sprintf("pod-%d", i), fmt.Sprintf("10.64.%d.%d", i/250, i%250), fmt.Sprintf("node-%d", i%machines)))
	}
	var queries []Query
	for i := range apps {
		name := fmt.Sprintf("shop/service-%d", i)
		objects = append(objects, aService(name), aSlice(name, endpoints[i]...))
		queries = append(queries, Query{Service: name})
	}
	var images []manifest
	for i := range 50 {
		images = append(images, manifest{"names": []string{fmt.Sprintf("registry.example/team/image-%d@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b", i)}, "sizeBytes": i})
	}
	for i := range machines {
		objects = append(objects, aNode(fmt.Sprintf("node-%d", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250), with("status.images", images)))
	}
	// The server's own work is done once.
	api := cluster(objects...)
	bodies := map[string][]byte{}
	s, err := Open(Config{Kubeconfig: kubeconfig(b, "http://192.0.2.254")})
	if err != nil {
		b.Fatal(err)
	}
	c, err := s.connect()
	if err != nil {
		b.Fatal(err)
	}
	requests, served := 0, 0
	c.http = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		r.RequestURI = r.URL.RequestURI()
		if bodies[r.RequestURI] == nil {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			bodies[r.RequestURI] = w.Body.Bytes()
		}
		body := bodies[r.RequestURI]
		requests++
		served += len(body)
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
	})}
	b.ReportAllocs()
	polls := 0
	for b.Loop() {
		polls++
		answers, err := s.Poll(b.Context(), queries, true)
		if err != nil || answers[0].Doubt() != nil || len(answers[0].Endpoints) != 5 {
			b.Fatalf("%v %+v", err, answers[0])
		}
	}
	b.ReportMetric(float64(requests)/float64(polls), "requests/op")
	b.ReportMetric(float64(served)/1e6/float64(polls), "MB-read/op")
}
