package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	stdsync "sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources/all"
	"nitrox/sync"
	"nitrox/sync/config"
)

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nitrox.yaml")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("one")
		files := &config.Files{Names: []string{file}}
		inUse, err := files.Text()
		if err != nil {
			t.Fatal(err)
		}
		var mu stdsync.Mutex // the loop that looks is another goroutine
		var log bytes.Buffer
		var loaded []string
		refused := false
		signals := make(chan os.Signal)
		fresh := reloads(ctx, files, inUse, &sync.Syncer{}, signals, func() (*sync.Syncer, error) {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			loaded = append(loaded, string(text))
			if strings.Contains(string(text), "bad") {
				return nil, errors.New("unknown key")
			}
			return &sync.Syncer{}, nil
		}, func(yes bool) {
			mu.Lock()
			defer mu.Unlock()
			refused = yes
		}, slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(b)
		}), nil)))
		expect := func(step string, want ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if want := strings.Contains("bad missing", step); refused != want {
				t.Errorf("%s: refused %v", step, refused)
			}
			if got := strings.Join(loaded, " "); got != strings.Join(want, " ") {
				t.Errorf("%s: loaded %q", step, got)
			}
			loaded = nil
		}
		told := func(what string) int {
			mu.Lock()
			defer mu.Unlock()
			return strings.Count(log.String(), what)
		}
		pass := func(d time.Duration) (came int) {
			for end := time.After(d); ; {
				select {
				case <-fresh:
					came++
				case <-end:
					return came
				}
			}
		}

		if pass(time.Minute) != 0 {
			t.Error("an unchanged file is loaded")
		}
		expect("unchanged")
		write("two")
		if n := pass(time.Minute); n != 1 {
			t.Errorf("a change is loaded %d times", n)
		}
		expect("changed", "two")
		write("bad")
		if n := pass(time.Minute); n != 0 {
			t.Errorf("a bad file is put to use %d times", n)
		}
		expect("bad", "bad")
		if n := told("unknown key"); n != 1 {
			t.Errorf("told %d times", n)
		}
		ok(t, os.Remove(file))
		pass(time.Minute)
		expect("missing")
		write("bad")
		pass(time.Minute)
		expect("bad")
		write("three")
		if n := pass(time.Minute); n != 1 {
			t.Errorf("loaded %d times", n)
		}
		expect("mended", "three")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		expect("missing")
		if n := told("no such file"); n != 2 {
			t.Errorf("a missing file is reported %d times", n)
		}
		write("three")
		pass(time.Minute)
		expect("back as it was")
		ok(t, os.Remove(file))
		pass(time.Minute + lookEvery/2)
		write("thr")
		time.Sleep(lookEvery/2 + settle/2) // it is looked at, and not yet for the second time
		write("three")
		pass(time.Minute + settle + settle/2)
		expect("back as it was, in two writes")
		signals <- syscall.SIGHUP
		if n := pass(time.Minute); n != 1 {
			t.Errorf("a signal loads %d times", n)
		}
		expect("signal", "three")
		signals <- syscall.SIGHUP // while somebody writes, and thinks better of it
		time.Sleep(settle / 2)
		write("thr")
		time.Sleep(settle)
		write("three")
		if n := pass(time.Minute); n != 1 {
			t.Errorf("a signal during a write loads %d times", n)
		}
		expect("signal during a write", "three")

		// Written slowly: each look finds it changed again.
		go func() {
			time.Sleep(250 * time.Millisecond) // between two looks
			for i := range 40 {
				write("four" + strings.Repeat(".", i))
				time.Sleep(500 * time.Millisecond)
			}
		}()
		pass(19 * time.Second)
		expect("still being written")
		if n := pass(time.Minute); n != 1 {
			t.Errorf("loaded %d times", n)
		}
		expect("written", "four"+strings.Repeat(".", 39))
	})
}

// A mapping of several files is read again when one changes, comes or goes; never half of what
// is being written. Which apps are let go is said. A file with limits that is wrong is what it
// was before, and after a restart it is not served.
func TestReloadsOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	app := func(name string) string {
		return "apps: [{name: " + name + ", service_group: sg-" + name + ", from: [{source: lab, app: a}]}]\n"
	}
	write("all/nitrox.yaml", `netscalers: {edge: {url: "https://192.0.2.1", username: u}}
sources: {lab: {file: {path: x}}}
include:
  - ../teams/*.yaml
  - {file: ../fenced/shop.yaml, allow_groups: [sg-shop*]}
`)
	write("teams/a.yaml", app("a"))
	write("fenced/shop.yaml", app("shop"))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		files := &config.Files{Names: []string{filepath.Join(dir, "all")}, Lookup: func(string) (string, bool) { return "secret12", true }}
		load := func() (*sync.Syncer, error) {
			m, err := files.Load(all.Kinds)
			if err != nil {
				return nil, err
			}
			return &sync.Syncer{Apps: m.Apps, Unusable: unusable(m)}, nil
		}
		names := func(s *sync.Syncer) (all string) {
			for _, app := range s.Apps {
				all += " " + app.Name
			}
			return strings.TrimSpace(all)
		}
		first, err := load()
		ok(t, err)
		inUse, err := files.Text()
		ok(t, err)
		var mu stdsync.Mutex
		var log bytes.Buffer
		fresh := reloads(ctx, files, inUse, first, nil, load, func(bool) {}, slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(b)
		}), nil)))
		// step: after it the apps are those, loaded once; "": nothing is loaded.
		var last *sync.Syncer
		step := func(what, want, logged string) {
			t.Helper()
			var got []string
			for end := time.After(time.Minute); end != nil; {
				select {
				case last = <-fresh:
					got = append(got, names(last))
				case <-end:
					end = nil
				}
			}
			if strings.Join(got, "; ") != want {
				t.Errorf("%s: loaded %q, want %q", what, got, want)
			}
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(log.String(), logged) || logged == "" && strings.Contains(log.String(), "WARN") {
				t.Errorf("%s: logged %s, want %s", what, log.String(), logged)
			}
			log.Reset()
		}
		step("nothing changed", "", "")
		write("teams/b.yaml", app("b"))
		step("a file came into a pattern", "a b shop", "")
		write("all/more.yaml", app("more"))
		step("a file came into a folder", "more a b shop", "")
		write("teams/.b.yaml.swp", "x")
		write("teams/b.yaml~", "x")
		step("an editor left something", "", "")
		ok(t, os.Rename(filepath.Join(dir, "teams/b.yaml"), filepath.Join(dir, "teams/c.yaml")))
		step("a file has another name", "more a b shop", "")
		ok(t, os.Remove(filepath.Join(dir, "teams/a.yaml")))
		step("a file is gone", "more b shop", `level=WARN msg="apps are not in the mapping any more; their service groups stay as they are" apps=a`)
		write("all/more.yaml", "apps: [{nam")
		step("a file is broken", "", "the changed mapping file cannot be used; the old one stays in use")
		write("all/more.yaml", app("more2"))
		step("it is mended", "more2 b shop", "apps=more\n")
		write("fenced/shop.yaml", app("bank"))
		step("a file with limits is beyond them", "more2 b shop", "")
		if err := last.Unusable[filepath.Join(dir, "fenced/shop.yaml")]; err == nil || !strings.HasPrefix(err.Error(), "what it said before stays in use until it is corrected: line 1: service_group: ") {
			t.Errorf("the error is %v", err)
		}
		write("fenced/shop.yaml", app("shop2"))
		step("it is within them again", "more2 b shop2", "apps=shop\n")
		ok(t, os.Remove(filepath.Join(dir, "fenced/shop.yaml")))
		step("it is gone, and was named", "more2 b shop2", "")
		ok(t, os.Remove(filepath.Join(dir, "teams/c.yaml")))
		step("a pattern fits nothing", "", "fits no file; correct it, or remove it")

		ok(t, os.Rename(filepath.Join(dir, "fenced"), filepath.Join(dir, "away")))
		write("all/fenced.yaml", "include: [{file: ../fenced/*/x.yaml, allow_groups: [sg-shop*]}]\n")
		step("a folder of files with limits is gone", "", "cannot be looked for in")
		ok(t, os.Remove(filepath.Join(dir, "all/fenced.yaml")))
		write("teams/c.yaml", app("b"))
		step("it is back", "more2 b shop2", "")
		ok(t, os.Remove(filepath.Join(dir, "teams/c.yaml")))
		step("a pattern fits nothing again", "", "fits no file; correct it, or remove it")

		// Half of a change is never loaded: each look finds that it goes on.
		go func() {
			time.Sleep(250 * time.Millisecond) // between two looks
			for i := range 20 {
				name := fmt.Sprint("n", i)
				write("teams/"+name+".yaml", app(name))
				time.Sleep(500 * time.Millisecond)
			}
		}()
		time.Sleep(9 * time.Second)
		step("many files were written", "more2 "+strings.Join(func() (all []string) {
			for i := range 20 {
				all = append(all, fmt.Sprint("n", i))
			}
			slices.Sort(all)
			return all
		}(), " ")+" shop2", "apps=b\n")
	})
	left := &config.Files{Names: []string{filepath.Join(dir, "all")}, Lookup: func(string) (string, bool) { return "secret12", true }}
	if m, err := left.Load(all.Kinds); err != nil || len(m.Unusable) != 1 || len(m.Apps) != 21 {
		t.Errorf("after a restart: %+v, %v", m, err)
	}
}

// A replica that begins to lead while the file cannot be used says so once, and keeps saying it in
// the metrics.
func TestANewLeaderSaysThatItCannotUseTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "nitrox.yaml")
		write := func(apps string) {
			ok(t, os.WriteFile(file, []byte("netscalers: {edge: {url: \"https://192.0.2.1\", username: op, password: \"${PW}\"}}\n"+
				"sources: {lab: {file: {path: x}}}\napps: "+apps+"\n"), 0o600))
		}
		var log bytes.Buffer
		j := opening(t, file, "hunter22", &log)
		write("[{name: a, from: [{source: lab, app: a}]}]")
		s, err := j.open()
		ok(t, err)
		write("[{name: a, form: []}]")
		now, inUse := j.takeOver(s)
		if now != s {
			t.Error("the mapping is another")
		}
		refused := false
		reloads(t.Context(), j.files, inUse, s, nil, j.open, func(yes bool) { refused = yes }, j.log)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "cannot be used; the old one stays in use"); n != 1 || !refused {
			t.Errorf("refused %v, said %d times:\n%s", refused, n, log.String())
		}
	})
}

// A team whose file never rests, or changes again and again, keeps no other from being served:
// the others' changes are taken soon, and the mapping is not loaded for it all the time.
func TestNoTeamStarvesReloads(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	own := "netscalers: {edge: {url: \"https://192.0.2.1\", username: u}}\nsources: {lab: {file: {path: x}}}\n" +
		"include: [{file: shop.yaml, allow_groups: [sg-shop]}]\napps: [{name: bank, paused: %t, from: [{source: lab, app: a}]}]\n"
	write("nitrox.yaml", fmt.Sprintf(own, false))
	write("shop.yaml", "# 0\n")
	for name, every := range map[string]time.Duration{"never rests": 700 * time.Millisecond, "again and again": 3100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			write("nitrox.yaml", fmt.Sprintf(own, false))
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				files := &config.Files{Names: []string{filepath.Join(dir, "nitrox.yaml")}, Lookup: func(string) (string, bool) { return "secret12", true }}
				inUse, err := files.Text()
				ok(t, err)
				fresh := reloads(ctx, files, inUse, &sync.Syncer{}, nil, func() (*sync.Syncer, error) {
					m, err := files.Load(all.Kinds)
					if err != nil {
						return nil, err
					}
					return &sync.Syncer{Apps: m.Apps}, nil
				}, func(bool) {}, slog.New(slog.DiscardHandler))
				go func() {
					for i := 0; ctx.Err() == nil; i++ {
						write("shop.yaml", fmt.Sprintf("# %d\n", i))
						select {
						case <-time.After(every):
						case <-ctx.Done():
						}
					}
				}()
				time.Sleep(time.Minute) // what it changed so far may have been taken
				loads, paused, begin := 0, time.Duration(-1), time.Now()
				write("nitrox.yaml", fmt.Sprintf(own, true))
				for end := time.After(10 * time.Minute); end != nil; {
					select {
					case s := <-fresh:
						loads++
						if s.Apps[0].Policy.Paused && paused < 0 {
							paused = time.Since(begin)
						}
					case <-end:
						end = nil
					}
				}
				if paused < 0 || paused > time.Minute {
					t.Errorf("the operator's change is taken after %v", paused)
				}
				if loads > 22 {
					t.Errorf("the mapping is loaded %d times in 10 minutes", loads)
				}
			})
		})
	}
}
