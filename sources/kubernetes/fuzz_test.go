package kubernetes

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nitrox/sources"
)

// FuzzAnswers feeds bytes in the place of each list. Whatever they are, nothing
// panics, and an app counts as absent only if the list of services is one.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"9130"},"items":[{"metadata":{"name":"web-x7k2p","namespace":"shop","labels":{"kubernetes.io/service-name":"account"}},"addressType":"IPv4","ports":[{"name":"http","protocol":"TCP","port":8080}],"endpoints":[{"addresses":["10.244.1.7"],"conditions":{"ready":true},"nodeName":"n1","targetRef":{"kind":"Pod","name":"web-1","uid":"u1"}}]}]}`,
		`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"9131"},"items":[{"metadata":{"name":"account","namespace":"shop"},"spec":{"type":"NodePort","selector":{"app":"web"},"ports":[{"name":"http","port":80,"nodePort":30734}]}}]}`,
		`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"9131"},"items":[{"metadata":{"name":"account","namespace":"shop","labels":{"nitrox":"on"},"annotations":{"nitrox.io/port":"http"}},"spec":{"ports":[{"name":"http","port":80}]}}]}`,
		`{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"9132"},"items":[{"metadata":{"name":"n1"},"spec":{},"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}],"conditions":[{"type":"Ready","status":"True"}]}}]}`,
		`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9132"},"items":null}`,
		`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"9131","continue":"x"},"items":[]}`,
		`{}`, `null`, `[]`, `{"items":{}}`, "\xff",
	} {
		for _, path := range []string{"/endpointslices", "/services", "/nodes", "/pods"} {
			f.Add(path, seed)
			for _, kind := range []string{"EndpointSliceList", "ServiceList", "NodeList", "PodList"} {
				if message, ok := inProtobuf(kind, []byte(seed)); ok && strings.Contains(seed, kind) {
					f.Add(path, string(message))
				}
			}
		}
	}
	a := cluster(append(shop(), aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.1", 9001), aRunning("shop/a3", "192.0.2.2", 9000))...)
	s, err := Open(Config{})
	if err != nil {
		f.Fatal(err)
	}
	var serve transport
	s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) { return serve(r) })
	f.Fuzz(func(t *testing.T, path, body string) {
		asked := 0
		serve = func(r *http.Request) (*http.Response, error) {
			if asked++; asked > 10 {
				return nil, errors.New("pages without end")
			}
			w := httptest.NewRecorder()
			if r.RequestURI = r.URL.RequestURI(); strings.HasSuffix(r.URL.Path, path) {
				w.WriteString(body)
			} else {
				a.ServeHTTP(w, r)
			}
			return w.Result(), nil
		}
		if findings, err := s.Discover(t.Context(), []sources.Selection{{Select: "nitrox=on"}}); err == nil && path == "/services" {
			found, err := findings[0].All()
			if err == nil && !strings.Contains(body, "ServiceList") || len(found) > 0 && !strings.Contains(body, "nitrox") {
				t.Errorf("%d found in %q", len(found), body)
			}
			for _, o := range found {
				if err := (Query{Service: o.Namespace + "/" + o.Name}).Check(); err != nil {
					t.Errorf("found %+v: %v", o, err)
				}
			}
		}
		asked = 0
		answers, err := s.Poll(t.Context(), []Query{account, {Service: "shop/account", Address: HostPort}}, true)
		if err != nil && len(answers) > 0 {
			t.Errorf("answers %v beside the error %v", answers, err)
		}
		for _, answer := range answers {
			if errors.Is(answer.Doubt(), sources.ErrAbsent) && !strings.Contains(body, "ServiceList") {
				t.Errorf("absent because of %q", body)
			}
			for _, e := range answer.Endpoints {
				if !e.Addr.IsValid() || e.Addr.Port() == 0 || e.Addr.Addr().Is4In6() || e.Weight < 0 || e.Weight > 100 {
					t.Errorf("endpoint %+v is not fit to bind", e)
				}
			}
		}
	})
}
