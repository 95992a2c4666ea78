// Nitrox keeps the service groups of a Citrix NetScaler in step with the
// containers that serve an app.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	_ "golang.org/x/crypto/x509roots/fallback" // for an image from scratch: the public CAs, where the system names none

	"nitrox/sync"
	"nitrox/sync/config"
)

func main() {
	os.Exit(run(untilStopped(context.Background()), os.Args, os.Stdout, os.Stderr, os.LookupEnv))
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
	if err := p.app().RunContext(ctx, joined(args)); err != nil {
		var problems config.Problems
		if errors.As(err, &problems) {
			fmt.Fprint(stderr, problems.Text()) // they name the file themselves
		} else {
			fmt.Fprintf(stderr, "nitrox: %v\n", err)
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
