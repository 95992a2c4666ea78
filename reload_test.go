package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	stdsync "sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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
		}, slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(b)
		}), nil)))
		expect := func(step string, want ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
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
		if n := told("no such file"); n != 1 {
			t.Errorf("a missing file is reported %d times", n)
		}
		write("three")
		pass(time.Minute)
		expect("back as it was")
		signals <- syscall.SIGHUP
		if n := pass(time.Minute); n != 1 {
			t.Errorf("a signal loads %d times", n)
		}
		expect("signal", "three")

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
