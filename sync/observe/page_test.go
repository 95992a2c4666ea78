package observe_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", file, got)
	}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// The golden page has every status, state and kind of note.
func TestThePageTellsWhyEachMemberIsInOrOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := mixed(t, anHour)
		defer s.close()
		time.Sleep(12 * time.Second)
		golden(t, "testdata/page.html.golden", s.get("/"))
		golden(t, "testdata/app.html.golden", s.get("/?app=gateway"))
	})
}

func TestThePageBeforeTheFirstPass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		has(t, s.get("/"), "The first pass is under way", "not asked yet", "1</b> unknown</a>")
	})
}

func has(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("%q is not in\n%s", text, page)
		}
	}
}

func hasNot(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			t.Errorf("%q is in\n%s", text, page)
		}
	}
}

// What sources and appliances say is shown as text, whatever it is.
func TestNothingThatOthersSayIsMarkup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'` + "\u202e\x1b[2J\n"
		s := newSite(t, sync.App{
			Name: "shop" + strings.TrimRight(evil, "\u202e\x1b[2J\n"), Group: "sg-shop",
			NetScalers: []string{"edge", "core"}, From: []sync.From{{Source: "prod"}, {Source: "lab"}},
		})
		app := s.Apps[0].Name
		s.sims["edge"].SetFault(simulator.Fault{
			Method: "GET", Type: "servicegroup_servicegroupmember_binding", ContentType: "application/json",
			RawBody: `{"errorcode": 0, "message": "Done", "servicegroup_servicegroupmember_binding": [{
				"servicegroupname": "sg-shop", "ip": "10.0.0.1", "port": 31080, "servername": "<script>alert(3)</script>",
				"svrstate": "UP", "state": "ENABLED", "weight": "1"}]}`,
		})
		s.answers["prod"][app] = sources.NewAnswer(
			[]sources.Endpoint{{Addr: host(1), Origin: evil}, {Addr: host(2), Origin: evil, Uncertain: evil}},
			[]sources.LeftOut{{What: evil, Why: evil}}, nil)
		s.broken["lab"] = fmt.Errorf("no answer: %s", evil)
		s.sims["core"].SetFault(simulator.Fault{RawBody: evil, Status: 500})
		s.pass()
		defer s.close()
		for _, path := range []string{"/", "/?app=" + "%22%3E%3Cscript%3Ealert(4)", "/?app=shop", "/?status=%3Cscript%3E"} {
			page := s.get(path)
			if n := strings.Count(page, "<script"); n != 1 {
				t.Errorf("%s has %d scripts, want its own alone:\n%s", path, n, page)
			}
			hasNot(t, page, "<img", "\u202e", "\x1b")
		}
		has(t, s.get("/"), "&lt;script&gt;alert(1)", "&lt;script&gt;alert(3)")
	})
}

func TestAnAnswerMayDoNothingInABrowserButBeShown(t *testing.T) {
	s := newSite(t, sync.App{Name: "shop"})
	for _, path := range []string{"/", "/page.css", "/page.js", "/icon.svg", "/metrics", "/healthz", "/nothing"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, w.Header())
		}
		if want := path == "/nothing"; want != (w.Code == http.StatusNotFound) {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	page := s.get("/")
	if outside := regexp.MustCompile(`(?i)https?://|\sstyle=|\son[a-z]+=|<style`).FindString(page); outside != "" {
		t.Errorf("the page has %q", outside)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestTheFilterLeavesSomeApps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := mixed(t, anHour)
		defer s.close()
		cards := func(path string) (names []string) {
			for _, m := range regexp.MustCompile(`(?:<h3>|</i>)<a href="[^"]*">([^<]*)</a>`).FindAllStringSubmatch(s.get(path), -1) {
				names = append(names, m[1])
			}
			return names
		}
		for path, want := range map[string]string{
			"/":                       "[delivery forms checkout invoices exports basket basket gateway account]",
			"/?app=e":                 "[delivery checkout invoices exports basket basket gateway]",
			"/?app=BASK":              "[basket basket]",
			"/?status=failed":         "[delivery forms]",
			"/?status=held":           "[checkout]",
			"/?status=not_serving":    "[invoices]",
			"/?status=pending":        "[exports]",
			"/?status=failed&app=for": "[forms]",
			"/?app=nobody":            "[]",
		} {
			if got := fmt.Sprint(cards(path)); got != want {
				t.Errorf("%s shows %s, want %s", path, got, want)
			}
		}
	})
}

// The members that were seen last are shown, with their age, when the NetScaler
// cannot be read; and metrics do not give them as if they were of now.
func TestMembersThatCannotBeReadAreShownAsOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		s.say("prod", "shop", 1, 2)
		s.pass()
		time.Sleep(time.Minute)
		s.sims["edge"].SetFault(simulator.Fault{Type: "servicegroup_servicegroupmember_binding", Code: 2138})
		s.pass()
		has(t, s.get("/"), "<b>old, from <time", "1m ago</time>:</b> 0 serving · 2 added", "10.0.0.2:31080")
		hasNot(t, s.get("/metrics"), "nitrox_members{")
		s.sims["edge"].ClearFaults()
		s.pass()
		has(t, s.get("/"), "The service group is in step")
		has(t, s.get("/?app=shop"), "Last trouble")
		has(t, s.get("/metrics"), `nitrox_members{app="shop",group="sg-shop",netscaler="edge",state="serving"} 2`)
		s.close()
	})
}

// An event's pass finds the NetScaler down: what is known of its other apps is
// from before that too.
func TestWhatIsFromBeforeANetScalerFailedIsOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"}, sync.App{Name: "cart"}, sync.App{Name: "mail", NetScalers: []string{"core"}})
		defer s.close()
		for _, app := range []string{"shop", "cart", "mail"} {
			s.say("prod", app, 1, 2)
		}
		s.pass()
		s.pass()
		hasNot(t, s.get("/"), "old, from")
		time.Sleep(20 * time.Second)
		s.sims["edge"].SetFault(simulator.Fault{DropBefore: true})
		s.pass("shop")
		time.Sleep(time.Minute)
		defer s.sims["edge"].ClearFaults()
		old := `<span><b>old, from <time datetime="2000-01-01T00:00:00Z" title="2000-01-01 00:00:00 UTC">`
		has(t, s.get("/"), `>shop</a> <small>sg-shop on edge</small> `+old,
			`>cart</a> <small>sg-cart on edge</small> `+old, " ago</time>:</b> 2 serving",
			"<b>edge</b> <span>failing for 1m</span>", `>mail</a> <small>sg-mail on core</small> <span>2 serving</span>`)
		has(t, s.get("/?app=cart"), `<article class="warn old">`, "<b>old, from <time")
		has(t, s.get("/metrics"), `nitrox_members{app="mail",group="sg-mail",netscaler="core",state="serving"} 2`)
		hasNot(t, s.get("/metrics"), `nitrox_members{app="shop"`, `nitrox_members{app="cart"`)
	})
}

// A group that serves nothing is not in step, and the page says why; what a guard
// holds is seen at once.
func TestAGroupThatServesNothingIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"}, sync.App{Name: "cart", Policy: sync.DefaultPolicy})
		defer s.close()
		s.say("prod", "shop")
		s.say("prod", "cart", upto(5)...)
		s.pass()
		s.pass()
		has(t, s.get("/"), "<h1>1 of 2 service groups not serving</h1>", "<h2>Not serving</h2>",
			`<p class="why">no members are wanted</p>`, `<header class="warn">`)
		s.say("prod", "cart", 5)
		s.pass()
		has(t, s.get("/"), "<span>5 serving</span>", "serving, held", "<summary>1 more serving</summary>")
		hasNot(t, s.get("/"), "<summary>5 serving")
	})
}

// 1,000 apps make one page of a few hundred kilobytes, those in trouble first.
func TestAThousandApps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := thousand(t)
		defer s.close()
		page := s.get("/")
		if len(page) > 600<<10 {
			t.Errorf("the page has %d kB", len(page)>>10)
		}
		has(t, page, "2 of 1000 service groups in trouble")
		if strings.Index(page, ">app-0777<") > strings.Index(page, ">app-0001<") {
			t.Error("an app in trouble is not the first")
		}
		hasNot(t, page, "10.0.0.1:31080")

		s.broken["prod"] = fmt.Errorf("no answer")
		s.pass()
		page = s.get("/")
		if len(page) > 1200<<10 {
			t.Errorf("with all apps in trouble the page has %d kB", len(page)>>10)
		}
		has(t, page, "1000 of 1000 service groups in trouble; source prod failed", "<summary>1000 service groups</summary>")

		for _, a := range s.Apps {
			s.answers["prod"][a.Name] = sources.Doubtful(fmt.Errorf("half a list of %s", a.Name))
		}
		s.broken["prod"] = nil
		time.Sleep(every)
		s.pass()
		has(t, s.get("/"), "1000 of 1000 service groups in trouble<", "half a list of app-0024", "<summary>975 more</summary>")
	})
}

// What a browser gets of 5,000 apps at each refresh: a small page, compressed,
// and next to nothing while nothing has changed.
func TestFiveThousandAppsAreCheapToWatch(t *testing.T) {
	sourcetest.Thorough(t)
	bubble(t, func(t *testing.T) {
		s := many(t, 5000)
		defer s.close()
		s.pass()
		for _, path := range []string{"/", "/?status=in_step"} {
			refresh := func(edition string) (int, string, []byte) {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header.Set("Accept-Encoding", "gzip, deflate, br")
				r.Header.Set("If-None-Match", edition)
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				return w.Code, w.Header().Get("ETag"), w.Body.Bytes()
			}
			code, edition, body := refresh("")
			most := map[string]int{"/": 6 << 10, "/?status=in_step": 60 << 10}[path]
			if code != http.StatusOK || len(body) > most {
				t.Errorf("%s: %d, %d bytes, want at most %d", path, code, len(body), most)
			}
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(z)
			if err != nil || string(page) != s.get(path) {
				t.Errorf("%s is another page when compressed: %v", path, err)
			}
			t.Logf("%s: %d bytes, of which %d travel", path, len(page), len(body))
			if code, _, body := refresh(edition); code != http.StatusNotModified || len(body) > 0 {
				t.Errorf("%s again: %d, %d bytes", path, code, len(body))
			}
		}
		has(t, s.get("/"), "<summary>5000 service groups</summary>", `<a href="?status=in_step">4900 more in step</a>`)
		hasNot(t, s.get("/"), "app-0100")
		has(t, s.get("/?status=in_step"), "app-0100", "app-4999")
		has(t, s.get("/?app=app-1"), `<a href="?app=app-1&amp;status=in_step">900 more in step</a>`)
	})
}

// Nothing that has changed, and no age that has grown, is kept from a browser.
func TestAPageThatHasChangedIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"}, sync.App{Name: "cart"})
		defer s.close()
		s.say("prod", "shop", 1)
		edition := ""
		changed := func(what string, want bool) {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("If-None-Match", edition)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if (w.Code == http.StatusOK) != want {
				t.Errorf("%s: %d", what, w.Code)
			}
			edition = w.Header().Get("ETag")
		}
		changed("at first", true)
		for _, c := range []struct {
			what string
			come func()
		}{
			{"a pass", func() { s.pass() }},
			{"a mapping", func() { s.Reload(s.Apps[:1]) }},
			{"an event stream", func() { s.Stream("prod", true) }},
			{"its end", func() { s.Stream("prod", false) }},
			{"another leads", func() { s.StandBy(true) }},
			{"it leads again", func() { s.StandBy(false) }},
			{"a minute", func() { time.Sleep(time.Minute) }},
		} {
			changed("before "+c.what, false)
			c.come()
			changed("after "+c.what, true)
		}
		s.pass()
		changed("a pass", true)
		time.Sleep(3*every - 10*time.Second)
		changed("as old as it may be", true)
		time.Sleep(11 * time.Second) // in the same minute
		changed("the loop has stopped", true)
	})
}

func TestOnlyWhoTakesGzipGetsIt(t *testing.T) {
	s := newSite(t, sync.App{Name: "shop"})
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP": true, "gzip; q=0.5": true, "gzip;q=0": false,
		"gzip;q=0.0, br": false, "deflate, br": false, "xgzip": false, "gzip;q=x": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want || got == bytes.Contains(w.Body.Bytes(), []byte("<!DOCTYPE")) {
			t.Errorf("%q: %v", accept, w.Header())
		}
		if w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%q: %v", accept, w.Header())
		}
	}
}

// many is a site of n apps with four members each.
func many(t *testing.T, n int) *site {
	var apps []sync.App
	for i := range n {
		apps = append(apps, sync.App{Name: fmt.Sprintf("app-%04d", i), Policy: sync.DefaultPolicy})
	}
	s := newSite(t, apps...)
	for i, a := range apps {
		s.say("prod", a.Name, i+1, i+2, i+3, i+4)
	}
	s.pass()
	return s
}

func thousand(t *testing.T) *site {
	s := many(t, 1000)
	s.say("prod", "app-0777")
	s.answers["prod"]["app-0333"] = sources.Doubtful(fmt.Errorf("app app-0333: %w", sources.ErrAbsent))
	s.say("prod", "app-0555", 556, 557, 558, 559, 2000)
	s.pass()
	return s
}
