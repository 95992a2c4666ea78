package observe_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"nitrox/sync"
	"nitrox/sync/observe"
)

func TestAPortAloneIsOfThisMachineOnly(t *testing.T) {
	for addr, want := range map[string]string{
		":0": "127.0.0.1", "0": "127.0.0.1", "127.0.0.1:0": "127.0.0.1", "0.0.0.0:0": "::", "localhost:0": "127.0.0.1",
	} {
		l, err := observe.Listen(addr)
		if err != nil {
			t.Errorf("%q: %v", addr, err)
			continue
		}
		host, _, err := net.SplitHostPort(l.Addr().String())
		if err != nil || host != want {
			t.Errorf("%q listens at %v, want %s", addr, l.Addr(), want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, addr := range []string{"", "localhost", "localhost:http", ":-1", ":65536", "::1:80:x", "http://localhost:80"} {
		if l, err := observe.Listen(addr); err == nil {
			t.Errorf("%q listens at %v", addr, l.Addr())
			l.Close()
		} else if !strings.Contains(err.Error(), "is not an address to listen on") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	l, err := observe.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := observe.Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestServingEndsWithItsContextAndLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := observe.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	o := observe.New(observe.Options{Version: "v1.2.3", Every: every, Apps: []sync.App{{Name: "shop", NetScalers: []string{"edge"}}}})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- observe.Serve(ctx, l, o.Handler(), slog.New(slog.DiscardHandler)) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "nitrox_build_info") {
		t.Errorf("%d %v %s", resp.StatusCode, err, body)
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()

	// A listener that breaks is an error, and not silence.
	broken, err := observe.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	broken.Close()
	if err := observe.Serve(t.Context(), broken, o.Handler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("serving a closed listener ended without an error")
	}
}

// A name that leads to this machine all of a sudden gets no answer; where the
// listener is for others too, any name may be its own.
func TestALoopbackListenerAnswersThisMachineOnly(t *testing.T) {
	for addr, want := range map[string]map[string]int{
		":0": {
			"127.0.0.1:9090": 200, "localhost": 200, "LOCALHOST:1": 200, "[::1]:9090": 200, "127.5.5.5": 200, "": 200,
			"evil.example": 421, "evil.example:9090": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "192.0.2.1": 421, "a b": 421, "[::1": 421,
		},
		"0.0.0.0:0": {"nitrox.example:9090": 200, "127.0.0.1": 200},
	} {
		l, err := observe.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		o := observe.New(observe.Options{Every: every})
		for host, want := range want {
			for _, path := range []string{"/", "/metrics", "/healthz"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host = host
				w := httptest.NewRecorder()
				observe.Local(l, o.Handler()).ServeHTTP(w, r)
				if w.Code != want {
					t.Errorf("%s for %q at %s: HTTP %d, want %d", path, host, l.Addr(), w.Code, want)
				}
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
