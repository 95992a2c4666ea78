//go:build e2e

package observe_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"nitrox/netscaler/simulator"
	"nitrox/sync/observe"
)

// browser is a headless Chromium. Whatever it complains of fails the test.
func browser(t *testing.T) context.Context {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no Chromium (apt-get install chromium)")
		}
		t.Skip("there is no Chromium (apt-get install chromium)")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	console := chromedp.Console(ctx)
	complaints := make(chan string, 100)
	go func() {
		defer close(complaints)
		for m, err := range console {
			if err != nil {
				return // the browser has ended
			}
			complaints <- m.String()
		}
	}()
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the context of its first action
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		cancel()
		for text := range complaints {
			if !strings.Contains(text, "ERR_CONNECTION_REFUSED") { // which a test is about
				t.Errorf("the browser complains: %s", text)
			}
		}
	})
	return ctx
}

// do has the browser do things, each of which it must manage in time.
func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for _, action := range actions {
		ask(t, ctx, action)
	}
}

// ask is what the browser answers.
func ask[T any](t *testing.T, ctx context.Context, question chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	answer, err := chromedp.Run(ctx, question)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// serve serves the site as the program does, and returns its URL and what ends it.
func (s *site) serve() (url string, stop func()) {
	l, err := observe.Listen(":0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	over := make(chan error, 1)
	go func() { over <- observe.Serve(ctx, l, s.Handler(), slog.New(slog.DiscardHandler)) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-over; err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(stop)
	return "http://" + l.Addr().String() + "/", stop
}

// shot keeps a picture of the whole page for people, in $NITROX_ARTIFACTS.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	picture := ask(t, ctx, chromedp.FullScreenshot(100))
	dir := os.Getenv("NITROX_ARTIFACTS")
	if dir == "" {
		dir = os.TempDir()
	}
	file := filepath.Join(dir, "nitrox-page-"+name+".png")
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log(file)
}

var widths = map[string]chromedp.Action[chromedp.Void]{
	"desktop": chromedp.EmulateViewport(1280, 900),
	"phone":   chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile),
}

func scheme(name string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (v chromedp.Void, err error) {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return v, err
	}
}

func TestThePageInABrowser(t *testing.T) {
	many := thousand(t)
	defer many.close()
	broken := thousand(t)
	broken.broken["prod"] = errors.New("Get \"https://10.0.0.5:6443/apis\": dial tcp 10.0.0.5:6443: connect: connection refused")
	broken.pass()
	defer broken.close()
	few := mixed(t, func() {})
	defer few.close()
	down := mixed(t, func() {})
	defer down.close()
	down.sims["edge"].SetFault(simulator.Fault{Type: "servicegroup_.*", Code: 1, Status: http.StatusServiceUnavailable})
	down.pass()
	down.sims["edge"].ClearFaults()
	ctx := browser(t)
	for name, s := range map[string]*site{"few": few, "down": down, "thousand": many, "thousand-broken": broken} {
		url, _ := s.serve()
		for width, emulate := range widths {
			for _, look := range []string{"light", "dark"} {
				do(t, ctx, emulate, scheme(look), chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("h1")))
				if n := ask(t, ctx, chromedp.Evaluate[float64]("document.documentElement.scrollWidth - document.documentElement.clientWidth")); n > 0 {
					t.Errorf("%s on %s: the page is %v pixels too wide", name, width, n)
				}
				if s == few {
					if first := ask(t, ctx, chromedp.Text(chromedp.CSS("article h3 a"))); first != "delivery" {
						t.Errorf("the first app is %s, want one in trouble", first)
					}
				}
				loaded := ask(t, ctx, chromedp.Evaluate[float64]("performance.timing.domContentLoadedEventEnd - performance.timing.responseEnd"))
				t.Logf("%s on %s: ready %v ms after it came", name, width, loaded)
				shot(t, ctx, name+"-"+width+"-"+look)
			}
		}
	}
	url, _ := few.serve()
	do(t, ctx, widths["phone"], chromedp.Navigate(url+"?app=gateway"), chromedp.WaitVisible(chromedp.CSS("article")))
	shot(t, ctx, "app-phone")
	do(t, ctx, widths["desktop"], chromedp.Navigate(url), chromedp.SetValue(chromedp.CSS("input[name=app]"), "basket"),
		chromedp.Submit(chromedp.CSS("form")),
		chromedp.WaitVisible(`//form/span[text()="2 of 9 service groups"]`))
}

// What is open stays open while the page shows a new pass; and once nothing
// answers any more the page says so, and does not look calm.
func TestThePageRefreshesItselfInABrowser(t *testing.T) {
	s := mixed(t, func() {})
	defer s.close()
	url, stop := s.serve()
	ctx := browser(t)
	refresh := chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("visibilitychange"))`)
	do(t, ctx, widths["desktop"], chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("h1")),
		chromedp.Click(chromedp.CSS(`details[data-key="basket edge"] summary`)),
		chromedp.WaitVisible(chromedp.CSS(`details[data-key="delivery edge"] table`)))
	s.broken["dcos"] = nil
	s.say("prod", "checkout", upto(5)...)
	s.pass()
	do(t, ctx, refresh, chromedp.WaitVisible(`//h1[starts-with(text(), "1 of 9")]`),
		chromedp.WaitVisible(chromedp.CSS(`details[data-key="basket edge"] table`)), chromedp.WaitNotVisible(chromedp.CSS("#old")))
	// While nothing changes nothing is sent, but for a new minute that may begin.
	if kept := ask(t, ctx, chromedp.Evaluate[bool](`(async () => {
		for (let i = 0; i < 2; i++) {
			const main = document.querySelector("main");
			await refresh();
			if (document.querySelector("main") === main) return true;
		}
		return false;
	})()`, chromedp.EvalAwaitPromise)); !kept {
		t.Error("the page was made again although nothing had changed")
	}
	stop()
	do(t, ctx, refresh, chromedp.WaitVisible(chromedp.CSS("#old")))
	shot(t, ctx, "old")
}

func TestThePageWithoutScripts(t *testing.T) {
	s := mixed(t, func() {})
	defer s.close()
	url, _ := s.serve()
	ctx := browser(t)
	disable := func(ctx context.Context, _ *chromedp.Target) (v chromedp.Void, err error) {
		_, err = chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return v, err
	}
	do(t, ctx, disable, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("h1")), chromedp.WaitVisible(chromedp.CSS("article")))
	if refresh := ask(t, ctx, chromedp.AttributeValue(chromedp.CSS("meta[http-equiv=refresh]"), "content")); refresh.Value != "15" {
		t.Errorf("without scripts the page reloads after %q seconds", refresh.Value)
	}
}
