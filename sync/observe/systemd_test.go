package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sync"
)

func TestSystemdIsPingedWhileTheLoopIsAliveAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(Options{Every: 30 * time.Second})
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		go o.notify(ctx, 20*time.Second, func(messages ...string) bool {
			told = append(told, fmt.Sprintf("%v %s", time.Since(began), strings.Join(messages, " ")))
			return true
		})
		time.Sleep(15 * time.Second)
		o.Record(sync.Result{}, time.Now())
		time.Sleep(500 * time.Second)
		cancel()
		synctest.Wait()
		want := []string{
			"0s EXTEND_TIMEOUT_USEC=360000000 STATUS=the first pass is under way", "10s WATCHDOG=1",
			"15s READY=1 STATUS=done: nothing to change (0 service groups) WATCHDOG=1",
		}
		for at := 20; at <= 105; at += 10 { // 90 s after the last pass it is not alive any more
			want = append(want, fmt.Sprintf("%v WATCHDOG=1", time.Duration(at)*time.Second))
		}
		want = append(want, "8m35s STOPPING=1 STATUS=stopping")
		if got := strings.Join(told, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}

func TestSystemdHearsThatAReplicaStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(Options{Every: 30 * time.Second})
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		go o.notify(ctx, 0, func(messages ...string) bool {
			told = append(told, messages...)
			return true
		})
		o.StandBy(true)
		synctest.Wait()
		o.StandBy(false)
		o.Record(sync.Result{}, time.Now())
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got, want := strings.Join(told[2:4], " "), "READY=1 STATUS=standing by: another replica leads"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		if got := strings.Join(told[4:], " "); strings.Contains(got, "READY") || !strings.Contains(got, "STATUS=done") {
			t.Errorf("told %q after it", got)
		}
	})
}

func TestSystemdHearsItOverItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	heard := func(want string) {
		t.Helper()
		var seen []string
		for buf := make([]byte, 4096); ; {
			if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("%q was not heard, but %q: %v", want, seen, err)
			}
			if seen = append(seen, string(buf[:n])); strings.Contains(seen[len(seen)-1], want) {
				return
			}
		}
	}
	o := New(Options{Every: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		o.Notify(ctx, slog.New(slog.DiscardHandler))
		close(over)
	}()
	heard("EXTEND_TIMEOUT_USEC=")
	heard("WATCHDOG=1")
	o.Record(sync.Result{}, time.Now())
	heard("READY=1\nSTATUS=done: nothing to change")
	heard("WATCHDOG=1")
	cancel()
	heard("STOPPING=1")
	<-over
}

func TestWithoutSystemdNothingIsToldAndASocketThatIsGoneIsLogged(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	New(Options{}).Notify(t.Context(), slog.New(slog.NewTextHandler(failing{t}, nil))) // returns at once

	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	t.Setenv("WATCHDOG_USEC", "soon")
	var log strings.Builder
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	New(Options{}).Notify(ctx, slog.New(slog.NewTextHandler(&log, nil)))
	for _, want := range []string{"cannot report to systemd", "cannot read systemd's watchdog setting"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in %s", want, log.String())
		}
	}
}

// failing is a log in which nothing may stand.
type failing struct{ t *testing.T }

func (f failing) Write(p []byte) (int, error) {
	f.t.Errorf("logged: %s", p)
	return len(p), nil
}
