// Nitrox keeps the service groups of a Citrix NetScaler in step with the
// containers that serve an app.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	_ "golang.org/x/crypto/x509roots/fallback" // for an image from scratch: the public CAs, where the system names none
	"k8s.io/klog/v2"

	"nitrox/sources/bounds"
	"nitrox/sources/redact"
	"nitrox/sync"
	"nitrox/sync/config"
)

func main() {
	bounds.Limit()
	os.Exit(mainWith(os.Stdout, os.Stderr))
}

// mainWith is main with outputs of its own.
func mainWith(stdout, stderr io.Writer) (code int) {
	// Package net/http has things to say about servers, and quotes them; so has
	// client-go.
	log.SetFlags(0)
	log.SetOutput(remarks{stderr})
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{ReplaceAttr: fit})))
	defer hear(stderr)()
	return run(untilStopped(context.Background()), os.Args, stdout, stderr, environment())
}

// remarks writes messages that are fit to print, one a line.
type remarks struct{ io.Writer }

func (r remarks) Write(b []byte) (int, error) {
	_, err := fmt.Fprintln(r.Writer, message(string(b)))
	return len(b), err
}

// patience is how long the last words of a program are waited for that may have
// left others behind, which keep its output open.
const patience = time.Second

// hear makes what credential plug-ins of a kubeconfig write to the standard error fit
// to print: client-go hands them [os.Stderr]. The end of it waits for what they have
// written.
func hear(stderr io.Writer) (end func()) {
	own := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Fprintf(stderr, "nitrox: credential plug-ins of a kubeconfig cannot be heard: %v\n", err)
		return func() {}
	}
	os.Stderr = w
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for lines := bufio.NewReaderSize(r, 16<<10); ; {
			line, _, err := lines.ReadLine() // of a longer one, the rest is another
			if err != nil {
				return
			}
			_, _ = remarks{stderr}.Write(line) // there is no other place to say it
		}
	}()
	return func() {
		os.Stderr = own
		_ = w.Close() // what is left is that of others
		select {
		case <-heard:
		case <-time.After(patience):
		}
	}
}

// environment looks variables up as they were at the start. A credential plug-in
// of a kubeconfig inherits those of the process, so passwords do not stay there:
// see also job.open.
func environment() (lookup func(string) (string, bool)) {
	all := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	_ = os.Unsetenv("NS_PASSWORD") // fails for no name but an odd one
	return func(name string) (string, bool) {
		value, set := all[name]
		return value, set
	}
}

// program is what a command line is run with.
type program struct {
	stdout, stderr io.Writer
	lookup         func(string) (string, bool)
	wait           waitFlag
	code           int // the exit code of a command that did not fail by itself
}

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, lookup func(string) (string, bool)) int {
	p := &program{stdout: stdout, stderr: stderr, lookup: lookup}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		proxy, _ := lookup(name)
		redact.URL(proxy)
	}
	a := p.app()
	if err := a.RunContext(ctx, optionsFirst(a, joined(args))); err != nil {
		var problems config.Problems
		if errors.As(err, &problems) {
			fmt.Fprint(stderr, problems.Text()) // they name the file themselves
		} else {
			fmt.Fprintf(stderr, "nitrox: %s\n", message(err.Error()))
		}
		return sync.ExitFailed
	}
	return p.code
}

// tag is set by the build: -ldflags "-X main.tag=v1.2.3".
var tag string

// release is the version of the program, without that of Go.
func release() string {
	if tag != "" {
		return tag
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

func version() string { return release() + " " + runtime.Version() }
