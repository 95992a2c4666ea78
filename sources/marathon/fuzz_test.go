package marathon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/marathon"
)

// FuzzPoll holds that nothing that can be answered makes an endpoint that is
// not fit to bind, and that a part of an answer is never taken for the whole.
func FuzzPoll(f *testing.F) {
	for _, app := range []string{
		rawApp(hostMode, rawTask("1", "10.0.0.1", "[31000, 31001]")),
		rawApp(bridgeMode, rawTask("1", "::ffff:10.0.0.1", "[0, -1]")),
		rawApp(overlayMode+`, "labels": {"nitrox.weight": "-5"}`, rawTask("1", "agent", "[70000]", `"ipAddresses": [{"ipAddress": "fe80::1%eth0"}, null]`)),
		rawApp(checked+`, "instances": -1, "deployments": [null], "readinessChecks": [{}]`, rawTask("1", "10.0.0.1", "[1, 2]", results(alive, failing, "null"))),
		`{"id": "/a", "tasks": [{"healthCheckResults": [null], "ports": null}], "networks": [{}], "container": {"docker": {}}, "ipAddress": {}}`,
	} {
		f.Add([]byte(`{"apps": [`+app+`]}`), "0")
	}
	f.Add([]byte(`{"apps": [], "x": 1e999}`), "http")
	f.Add([]byte(`{"apps": [{"id": "/a", "labels": {"nitrox": "on", "nitrox.io/port": 80}}, {"id": "//", "labels": 7}]}`), "http")
	f.Fuzz(func(t *testing.T, body []byte, port string) {
		source := func(body []byte) sources.Opened {
			return opened(t, marathon.Config{URLs: []string{"http://m1"}}, func(s *marathon.Source) {
				s.Resolve(func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") })
				s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Request: r, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
				})
			})
		}
		poll := func(body []byte) ([]sources.Answer, error) {
			return source(body).Poll(t.Context(), []any{marathon.Query{App: "/a", Port: sources.Port(port)}}, true)
		}
		if findings, err := source(body).Discover(t.Context(), []sources.Selection{{Select: "nitrox=on"}}); err == nil {
			found, err := findings[0].All()
			if err == nil && !json.Valid(body) {
				t.Errorf("found %+v in what is not JSON", found)
			}
			for _, o := range found {
				if err := (marathon.Query{App: "/" + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")}).Check(); err != nil && o.Doubt == nil {
					t.Errorf("found %+v: %v", o, err)
				}
			}
		}
		answers, err := poll(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Errorf("an answer from what is not JSON: %+v", answers[0])
		}
		seen := make(map[netip.AddrPort]bool)
		for _, e := range answers[0].Endpoints {
			a := e.Addr.Addr()
			if !a.IsValid() || a.Is4In6() || a.Zone() != "" || e.Addr.Port() == 0 || e.Weight < 0 || e.Weight > 100 || seen[e.Addr] {
				t.Errorf("%+v is not fit to bind, or there twice", e)
			}
			seen[e.Addr] = true
		}
		whole := bytes.TrimRight(body, " \t\r\n")
		for _, n := range []int{len(whole) - 1, len(whole) / 2} {
			if answers, err := poll(whole[:n]); err == nil {
				t.Errorf("an answer from the first %d of %d bytes: %+v", n, len(whole), answers[0])
			}
		}
	})
}

// FuzzEvents: whatever comes on a stream, it is read to its end, an event is
// never more than what is looked at of two lines, and breaking the stream off
// makes no event.
func FuzzEvents(f *testing.F) {
	f.Add("event: a\r\ndata: {\"appId\": \"/shop/web\"}\r\n\r\n", 7)
	f.Add(": comment\n\ndata: x\ndata: y\n\nevent: a\n\n", 20)
	f.Add("event: a\ndata: "+strings.Repeat("x", 100_000)+"\n\nevent: b\n\n", 100_010)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		read := func(text string) (all []string) {
			err := marathon.ReadEvents(strings.NewReader(text), func(kind string, data []byte) {
				if len(kind)+len(data) > 2*64<<10 || strings.ContainsAny(kind+string(data), "\n") {
					t.Errorf("event %q of %d bytes", kind, len(data))
				}
				all = append(all, kind+"\n"+string(data))
			})
			if err != nil {
				t.Error(err)
			}
			return all
		}
		whole, part := read(text), read(text[:min(max(cut, 0), len(text))])
		if len(part) > len(whole) || !slices.Equal(part, whole[:len(part)]) {
			t.Errorf("events %q, and %q of the whole", part, whole)
		}
	})
}
