package marathon_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
)

func TestByID(t *testing.T) {
	for _, c := range []struct {
		n, apps int
		want    bool
	}{
		{1, 0, true}, {2, 0, false}, // of nobody knows how many
		{1, 5, false}, {1, 8, true}, {2, 15, false}, {2, 16, true},
		{10, 79, false}, {10, 5000, true}, {16, 5000, true}, {17, 5000, false}, {5000, 5000, false},
	} {
		if got := marathon.ByID(c.n, c.apps); got != c.want {
			t.Errorf("%d of %d apps one by one: %v, want %v", c.n, c.apps, got, c.want)
		}
	}
}

// wire counts what is asked and read.
type wire struct {
	http.RoundTripper
	asked []string
	bytes int
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked = append(w.asked, r.URL.Path+" "+r.URL.Query().Get("id"))
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(resp.Body, w), resp.Body}
	}
	return resp, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.bytes += len(p)
	return len(p), nil
}

// Of few apps among many only these are read, with the same answers; and what is
// missing is looked for among all.
func TestFewApps(t *testing.T) {
	named := func(id string) string { return strings.Replace(webApp, "/shop/web", id, 1) }
	definitions := []string{webApp, named("/shop/web/api"), named("/shop/webby")}
	for i := range 200 {
		definitions = append(definitions, named(fmt.Sprintf("/lab/app-%d", i)))
	}
	c := deployed(t, marathontest.Options{}, definitions...)
	c.Raw(`{"id": "/shop/web-odd", "tasks": [{"id": "1", "ports": ["31000"]}]}`)
	w := &wire{RoundTripper: c.Transport()}
	s := opened(t, marathon.Config{URLs: []string{"http://marathon.test:8080"}}, func(s *marathon.Source) { s.Transport = w })
	app := func(id string) any { return marathon.Query{App: id} }
	many := []any{app("/shop/web"), app("/shop/web/api"), app("/shop/web-odd"), app("/lab/app-7")}
	for i := range 20 {
		many = append(many, app(fmt.Sprintf("/lab/app-%d", i)))
	}
	all := poll(t, s, many...)
	if want := []string{"/v2/apps "}; !slices.Equal(w.asked, want) {
		t.Fatalf("asked %q, want %q", w.asked, want)
	}
	whole := w.bytes
	for name, c := range map[string]struct {
		queries []any
		asked   []string
		share   int // of all that is read
	}{
		"one":     {many[:1], []string{"/v2/apps /shop/web"}, 20},
		"several": {many[:4], []string{"/v2/apps /lab/app-7", "/v2/apps /shop/web", "/v2/apps /shop/web-odd", "/v2/apps /shop/web/api"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			w.asked, w.bytes = nil, 0
			answers := poll(t, s, c.queries...)
			slices.Sort(w.asked)
			if !slices.Equal(w.asked, c.asked) || w.bytes > whole/c.share {
				t.Errorf("asked %q and read %d bytes, want %q and a %dth of %d", w.asked, w.bytes, c.asked, c.share, whole)
			}
			for i, a := range answers {
				if got, want := text(a), text(all[i]); got != want || len(a.Endpoints) == 0 && a.Doubt() == nil {
					t.Errorf("%v: %s, want %s", c.queries[i], got, want)
				}
				if !reflect.DeepEqual(a.Endpoints, all[i].Endpoints) {
					t.Errorf("%v: %+v, want %+v", c.queries[i], a.Endpoints, all[i].Endpoints)
				}
			}
		})
	}
	w.asked = nil
	answers := poll(t, s, many[0], app("/shop/web/apo"))
	if d := answers[1].Doubt(); d == nil || d.Error() != "there is no Marathon app /shop/web/apo; did you mean /shop/web/api?" || text(answers[0]) != text(all[0]) {
		t.Errorf("%v, %s", d, text(answers[0]))
	}
	if want := []string{"/v2/apps ", "/v2/apps /shop/web", "/v2/apps /shop/web/apo", "/v2/pods/shop/web/apo "}; !slices.Equal(slices.Sorted(slices.Values(w.asked)), want) {
		t.Errorf("asked %q, want %q", w.asked, want)
	}
}

// One app that is there twice does not stand for another that cannot be read.
func TestAnAppTwiceIsNotTwo(t *testing.T) {
	definitions := []string{webApp}
	for i := range 20 {
		definitions = append(definitions, strings.Replace(webApp, "/shop/web", fmt.Sprintf("/lab/app-%d", i), 1))
	}
	c := deployed(t, marathontest.Options{}, definitions...)
	s := opened(t, marathon.Config{URLs: []string{"http://marathon.test:8080"}}, func(s *marathon.Source) { s.Transport = c.Transport() })
	poll(t, s, marathon.Query{App: "/shop/web"}, marathon.Query{App: "/lab/app-1"})
	c.Raw(`{"id": "/shop/web", "tasks": []}`)
	c.Raw(`{"id": ["/shop/cart"], "tasks": []}`)
	answers := poll(t, s, marathon.Query{App: "/shop/web"}, marathon.Query{App: "/shop/cart"})
	if d := answers[0].Doubt(); d == nil || !strings.HasSuffix(d.Error(), "it is in Marathon's list twice") {
		t.Errorf("the one: %v", d)
	}
	if d := answers[1].Doubt(); d == nil || errors.Is(d, sources.ErrAbsent) || !strings.Contains(d.Error(), "an app in Marathon's list cannot be read") {
		t.Errorf("the other: %v", d)
	}
}
