package observe

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Listen opens the address that is served: HOST:PORT, or a port alone, ":9090"
// or "9090", which is that of this machine only. To be reached from others the
// host must be spelt out, as in "0.0.0.0:9090": the page tells much of a
// network to whoever asks.
func Listen(addr string) (net.Listener, error) {
	full := addr
	if !strings.Contains(full, ":") {
		full = ":" + full
	}
	host, port, err := net.SplitHostPort(full)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not an address to listen on; use HOST:PORT, or a port alone for this machine only", addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w; stop what listens there, or choose another port", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w; give an address of this machine, or 0.0.0.0 for all of them", err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w; choose a port above 1023", err)
	}
	return l, err
}

// Local is h as it is served at l. Where that is an address of this machine only,
// a request must be for this machine: a page of somebody else's whose name leads
// here all of a sudden (DNS rebinding) could read the answer otherwise.
func Local(l net.Listener, h http.Handler) http.Handler {
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		ip, err := netip.ParseAddr(host)
		if r.Host != "" && !strings.EqualFold(host, "localhost") && (err != nil || !ip.IsLoopback()) {
			http.Error(w, fmt.Sprintf("This is for this machine only: ask for http://%v.", l.Addr()), http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// lastAnswers is how long requests may go on once serving is over.
const lastAnswers = 2 * time.Second

// Serve serves h until ctx ends, and closes l. What clients do wrong is logged
// at the debug level.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: Local(l, h), MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
		defer cancel()
		if server.Shutdown(limited) != nil {
			server.Close() // of those who have not left in time
		}
	})
	err := server.Serve(l)
	if stop() { // not because ctx ended
		return errors.Join(fmt.Errorf("serve %s: %w", l.Addr(), err), server.Close())
	}
	<-over
	return nil
}

//go:embed page.html page.css page.js icon.svg
var files embed.FS

// Handler serves the status page at /, /metrics, /healthz and /readyz. The page
// takes ?app=, a part of the names to show, and ?status=.
func (o *Observer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.metrics())
	mux.HandleFunc("GET /healthz", probe(o.Alive))
	mux.HandleFunc("GET /readyz", probe(o.Ready))
	mux.HandleFunc("GET /{$}", o.page)
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
	}
	return guarded(mux)
}

// guarded sets the headers that keep a browser from doing anything with an
// answer but show it.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cache-Control":                "no-store",
		} {
			w.Header().Set(name, value)
		}
		h.ServeHTTP(w, r)
	})
}

// probe answers 200, or 503 and why.
func probe(trouble func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text := "ok"
		if err := trouble(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = err.Error()
		}
		_, _ = io.WriteString(w, text+"\n") // who asked has left
	}
}
