package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sync/observe"
)

// simulator serves a simulated NetScaler until it is stopped.
func (p *program) simulator(c *cli.Context) error {
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
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := sim.Load(f); err != nil {
			return fmt.Errorf("%s: %w", file, err)
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
