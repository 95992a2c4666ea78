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

	"nitrox/netscaler/simulator"
)

// simulator serves a simulated NetScaler until it is stopped.
func (p *program) simulator(c *cli.Context) error {
	l, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return err
	}
	defer l.Close() // Serve has closed it, unless something went wrong before
	sim := simulator.New(simulator.Options{
		Users:   map[string]string{c.String("user"): c.String("password")},
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
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(c.Context, func() { _ = server.Close() }) // Serve says how it ended
	fmt.Fprintf(p.stdout, "a simulated NetScaler is at http://%v, user %s; stop it with Ctrl-C\n", l.Addr(), c.String("user"))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// nsip is an address of its own for the simulator at each port of this machine:
// one that names no appliance (RFC 2544).
func nsip(addr net.Addr) netip.Addr {
	port := addr.(*net.TCPAddr).Port
	return netip.AddrFrom4([4]byte{198, 18, byte(port >> 8), byte(port)})
}
