// Package netscaler reads and writes the service groups of a Citrix NetScaler
// through NITRO, its REST API.
//
// A [Client] is one session on one appliance. It knows what NITRO answers and
// how often to ask again; it decides nothing about which members there should
// be.
package netscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nitrox/sources/bounds"
	"nitrox/sources/trust"
)

// Config is what it takes to reach one NetScaler.
type Config struct {
	// URLs are those of the appliance, or of both nodes of an HA pair:
	// scheme and host, "https://192.0.2.10". Of several the primary is used.
	URLs []string
	// Instance is the address of the appliance where URLs is a NetScaler
	// Console (ADM) that passes calls on to it ("NetScaler Console as an API
	// proxy server"); not valid: URLs is the appliance itself. Username and
	// Password are those of the Console then. It logs in to the appliance by
	// itself, so that there are no partitions to switch to.
	Instance netip.Addr
	Username string
	// Password is revealed at each log-in, so that a rotated one is seen.
	Password Secret
	// CAFile holds the certificates to trust, in PEM; empty: the system's.
	CAFile             string
	ServerName         string
	InsecureSkipVerify bool
	// CertificateSHA256, if any, are the fingerprints of the only certificates to
	// trust, instead of any that have the right name and authority.
	CertificateSHA256 []trust.Fingerprint
	// Partition is the admin partition to switch to; empty: the default one.
	Partition string
	// Timeout is that of connecting and of a single write; 0 is 10 s. Arrays
	// get 200 ms more for each item, bulk reads and saves 120 s, and log-ins
	// three times as long, up to 30 s.
	Timeout time.Duration
	// Every is the time between two passes of a loop, which keeps its session
	// from one to the next; 0: there is no loop.
	Every time.Duration
	// ReadOnly refuses every request but GET, log-in, log-out and the switch
	// of the session to its partition, before it reaches the network.
	ReadOnly bool
	// Calls are taken to make calls, among all clients; nil: any number of them is made at
	// a time.
	Calls *bounds.Turns
	// Turns are taken to read answers that may be large, among all clients; nil: any
	// number of them is read at a time.
	Turns *bounds.Turns
	// Transport replaces the client's own, with its TLS settings; tests call
	// the simulator in process by it.
	Transport http.RoundTripper
	// Log gets one debug line a call, and a warning for each success that has
	// a flaw; nil: none.
	Log *slog.Logger
	// Allow is asked right before each write, and may refuse it; nil: never.
	// Several replicas need it, of which one may write.
	Allow func() error `json:"-"`
	// Observe is called for each try of a call when it has ended, by whichever
	// goroutine made it; may be nil.
	Observe func(CallInfo) `json:"-"`
	// Progress is called when a step of Do begins and whenever more of its changes
	// have an outcome, with how many have one, and of how many; may be nil.
	Progress func(op Op, done, of int) `json:"-"`
}

const (
	defaultTimeout = 10 * time.Second
	itemTimeout    = 200 * time.Millisecond
	longTimeout    = 120 * time.Second
	// closeTimeout bounds a log-out, which the caller may be waiting for after
	// a signal.
	closeTimeout = 5 * time.Second
)

// Client is one session on one NetScaler. It logs in when it is first used,
// and again when the session has died. Its methods may be called concurrently.
type Client struct {
	cfg       Config
	http      http.RoundTripper
	log       *slog.Logger
	addresses addresses

	// turn holds one token; whoever has it may use the fields below. It is a
	// channel because waiting for it must end with the context.
	turn    chan struct{}
	session *session
	refusal refusal
	lost    map[string]lostLogin // by node
	left    map[string]leftover  // by node

	// members is the session in which members were last read, and writes the
	// one in which the pass was found writable.
	members, writes atomic.Pointer[session]

	memberCosts, attrCosts, serverCosts costs

	// What the build of this appliance was found not to have.
	noAttrs atomic.Bool
	noLife  atomic.Bool // a log-in cannot say how long its session lives
	noArray [unmarkMember + 1]atomic.Bool
	noList  sync.Map // by group, "" for all

	noComment atomic.Bool // of service groups
}

// Open checks the configuration. It contacts nothing; the first call does.
func Open(c Config) (*Client, error) {
	if len(c.URLs) == 0 {
		return nil, errors.New("no URL is given for the NetScaler")
	}
	bases := make([]string, len(c.URLs))
	for i, text := range c.URLs {
		base, err := baseURL(text)
		if err != nil {
			return nil, err
		}
		bases[i] = base
	}
	c.URLs = bases
	if c.Username == "" {
		return nil, errors.New("no username is given for the NetScaler")
	}
	if c.Instance.IsValid() && (len(c.URLs) > 1 || c.Partition != "") {
		return nil, errors.New("a NetScaler Console has one URL, and keeps no partition for its clients")
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("the timeout %v is negative", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	client := &Client{cfg: c, http: c.Transport, log: c.Log, turn: make(chan struct{}, 1), lost: map[string]lostLogin{}, left: map[string]leftover{}}
	for k, usual := range map[*costs]int{&client.memberCosts: 10, &client.attrCosts: 1, &client.serverCosts: 1} {
		k.usual, k.own = usual, map[string]int{}
	}
	for _, host := range c.hosts() {
		if a, err := netip.ParseAddr(host); err == nil {
			client.addresses.add(a)
		}
	}
	if c.Instance.IsValid() {
		client.addresses.add(c.Instance)
	}
	if c.Transport == nil {
		own, err := newTransport(c)
		if err != nil {
			return nil, err
		}
		own.DialContext = client.dialer(own.DialContext)
		client.http = own
	}
	return client, nil
}

// baseURL is text without its last slash. The error does not repeat text that
// may hold a password.
func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("the URL of the NetScaler cannot be parsed")
	}
	switch {
	case u.User != nil:
		return "", fmt.Errorf("the URL %s contains a username or password; give them separately", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("the URL %q is not of the form https://HOST", text)
	case strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("the URL %q has more than a scheme and a host", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// Close logs out, within 5 s a node, also if ctx has ended: a session that is
// left behind counts against the appliance's limit until it expires. A log-in
// that is on its way is waited for. A client that is not logged in has nothing
// to close. A call after Close logs in again.
func (c *Client) Close(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.loginLimit()+2*closeTimeout)
	defer cancel()
	if err := c.take(waiting); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	defer c.give()
	for _, node := range c.cfg.URLs {
		_ = c.endLeft(ctx, node) // whoever left it has logged it
	}
	err := c.logout(ctx)
	if t, ok := c.http.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return err
}

func (c *Client) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) give() { <-c.turn }
