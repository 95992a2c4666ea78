package observe_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
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
