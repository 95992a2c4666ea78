package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sync/observe"
)

// simulator serves a simulated NetScaler until it is stopped, or only checks the
// configuration that it would start with.
func (p *program) simulator(c *cli.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return unknown("log level", c.String("log-level"), []string{"debug", "info", "warn", "error"})
	}
	if c.Bool("check") {
		if c.String("config") == "" {
			return errors.New("--check needs --config: name the ns.conf to check")
		}
		return p.checkConfig(c, level)
	}
	password, err := p.simulatorPassword(c)
	if err != nil {
		return err
	}
	l, err := observe.Listen(c.String("listen"))
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer l.Close() // Serve has closed it, unless something went wrong before
	sim := simulator.New(simulator.Options{
		Users:   map[string]string{c.String("user"): password},
		Control: c.Bool("control"),
		NSIP:    nsip(l.Addr()),
	})
	if file := c.String("config"); file != "" {
		loaded, err := p.loadConfig(sim, file, level)
		if err != nil {
			return err
		}
		if len(loaded.Encrypted) > 0 {
			fmt.Fprintf(p.stderr, "%s: these users cannot log in, as the file has only their encrypted passwords: %s; "+
				"give one of them a password with --user NAME --password PASSWORD\n",
				file, strings.Join(loaded.Encrypted, ", "))
		}
	}
	server := &http.Server{Handler: observe.Local(l, sim), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(c.Context, func() { _ = server.Close() }) // Serve says how it ended
	fmt.Fprintf(p.stdout, "a simulated NetScaler is at http://%v, user %s; stop it with Ctrl-C\n", l.Addr(), c.String("user"))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// checkConfig only says what a configuration has that is not understood.
func (p *program) checkConfig(c *cli.Context, level slog.Level) error {
	file := c.String("config")
	loaded, err := p.loadConfig(simulator.New(simulator.Options{}), file, level)
	switch n := len(loaded.Problems); {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("%s: lines that are not understood: %d; correct them, or leave out --check to serve the rest", file, n)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: no problems (lines: %d, skipped: %d)\n", file, loaded.Lines, len(loaded.Skipped))
	return err
}

// loadConfig loads a file and says what became of its lines: each that is not
// understood, and how many are not modelled; at level debug each of these too.
func (p *program) loadConfig(sim *simulator.Simulator, file string, level slog.Level) (simulator.Loaded, error) {
	f, err := os.Open(file)
	if err != nil {
		return simulator.Loaded{}, bounds.Unread(err)
	}
	defer f.Close()
	loaded, err := sim.LoadConfig(f)
	if err != nil {
		return loaded, fmt.Errorf("%s: %w", file, bounds.Unread(err))
	}
	if foreign(loaded) {
		return loaded, fmt.Errorf("%s: none of its %d lines is a command of a NetScaler; name its ns.conf", file, loaded.Lines)
	}
	for _, l := range loaded.Problems {
		fmt.Fprintf(p.stderr, "%s: line %d: %s: %v\n", file, l.Number, l.Text, l.Err)
	}
	skipped := map[string]int{}
	for _, l := range loaded.Skipped {
		skipped[l.Command]++
		if level <= slog.LevelDebug {
			fmt.Fprintf(p.stderr, "%s: line %d: skipped %s\n", file, l.Number, strings.TrimSpace(l.Command+" "+l.Object))
		}
	}
	if len(skipped) > 0 && level <= slog.LevelInfo {
		commands := slices.SortedFunc(maps.Keys(skipped), func(a, b string) int {
			return cmp.Or(skipped[b]-skipped[a], strings.Compare(a, b))
		})
		for i, name := range commands {
			commands[i] = fmt.Sprintf("%s %d", name, skipped[name])
		}
		fmt.Fprintf(p.stderr, "skipped %s: %s\n", sources.Count(len(loaded.Skipped), "line"), strings.Join(commands, ", "))
	}
	return loaded, nil
}

// verb begins the lines of every ns.conf.
var verb = regexp.MustCompile(`^(?i)(add|set|bind|enable|disable|unset|rm|unbind|link|apply|import|create|update|switch) `)

// foreign tells whether what was loaded is no ns.conf: of its lines not even the
// beginnings are known.
func foreign(l simulator.Loaded) bool {
	return l.Lines > 0 && len(l.Skipped) == l.Lines &&
		!slices.ContainsFunc(l.Skipped, func(l simulator.Line) bool { return verb.MatchString(l.Command + " ") })
}

// simulatorPassword is the one to log in with: of the options, which every user
// of this machine can see, of a file, or of the environment.
func (p *program) simulatorPassword(c *cli.Context) (string, error) {
	file := c.String("password-file")
	fromEnvironment, set := p.lookup("NITROX_SIMULATOR_PASSWORD")
	switch {
	case file != "" && c.IsSet("password"):
		return "", errors.New("--password cannot be combined with --password-file; give one of the two")
	case file != "":
		return netscaler.SecretFile(file).Reveal()
	case !c.IsSet("password") && set && fromEnvironment != "":
		return fromEnvironment, nil
	}
	return c.String("password"), nil
}

// nsip is an address of its own for the simulator at each port of this machine:
// one that names no appliance (RFC 2544).
func nsip(addr net.Addr) netip.Addr {
	port := addr.(*net.TCPAddr).Port
	return netip.AddrFrom4([4]byte{198, 18, byte(port >> 8), byte(port)})
}
