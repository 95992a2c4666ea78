// Package netscaler writes service groups of a Citrix NetScaler through its
// NITRO API.
package netscaler

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Config is what it takes to reach one NetScaler.
type Config struct {
	// URLs are those of the appliance, or of both nodes of an HA pair:
	// scheme and host, "https://192.0.2.10".
	URLs     []string
	Username string
	Password Secret
	// CAFile holds the certificates to trust, in PEM; empty: the system's.
	CAFile             string
	ServerName         string
	InsecureSkipVerify bool
	// Partition is the admin partition to switch to; empty: the default one.
	Partition string
	// Timeout is that of connecting and of a single write; 0 is 10 s.
	Timeout time.Duration
	// ReadOnly refuses every request but GET, login and logout.
	ReadOnly bool
	// Transport replaces the client's own, with its TLS settings; tests call
	// the simulator in process by it.
	Transport http.RoundTripper
	// Log gets one debug line a call; nil: none.
	Log *slog.Logger
}

type Client struct{}

func Open(c Config) (*Client, error) { return &Client{}, nil }
func (c *Client) Read(ctx context.Context, groups []string) (map[string]*Group, error) {
	return nil, nil
}
func (c *Client) Detail(ctx context.Context, groups map[string]*Group) error     { return nil }
func (c *Client) Writable(ctx context.Context) error                             { return nil }
func (c *Client) Do(ctx context.Context, op Op, changes []Change) (errs []error) { return nil }
func (c *Client) Save(ctx context.Context) error                                 { return nil }
func (c *Client) Close(ctx context.Context) error                                { return nil }
