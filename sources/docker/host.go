package docker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"nitrox/sources/httpapi"
)

// host is one place where a daemon answers, and the connection to it, which is
// kept from poll to poll for as long as it is good.
type host struct {
	address address
	config  Config
	maxBody int64
	again   []time.Duration                                                      // see afterwards
	net     func(ctx context.Context, network, address string) (net.Conn, error) // nil: as all do

	mu   sync.Mutex
	conn *connection
	// found outlives the connection: a manager that has left its swarm must not
	// pass for an engine that has none of the services.
	found Kind

	labelled *labelled // the hosts' of a swarm
}

// connection is a client of a daemon whose API version and kind are known.
type connection struct {
	client    *client.Client
	transport *http.Transport
	files     httpapi.PEM // when it was made
	images    images
	labelled  *labelled
	kind      Kind
	guessed   bool // the kind is not from the configuration
	// versionless is set if the daemon, or what answered for it, did not tell
	// its API version. Then the newest is tried, for this poll only.
	versionless bool
}

// classicVersion is the API version of the last release of the classic Swarm,
// 1.2.9. It is below what the client negotiates, and accepted when asked for.
const classicVersion = "1.30"

// String names the host in errors.
func (h *host) String() string { return h.address.text }

// connect gives the connection of the poll before if it failed in nothing and
// the certificate files are what they were, or makes one.
func (h *host) connect(ctx context.Context) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := h.config.certificates().Read()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	c, found := h.conn, h.found
	h.mu.Unlock()
	if c != nil && c.files == files {
		return c, nil
	}
	if c != nil {
		h.drop(c)
	}
	c, err = h.dial(ctx, files, found)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found = c.kind
	if !c.versionless {
		h.conn = c
	}
	return c, nil
}

// drop forgets a connection that has failed.
func (h *host) drop(c *connection) {
	h.mu.Lock()
	if h.conn == c {
		h.conn = nil
	}
	h.mu.Unlock()
	c.transport.CloseIdleConnections()
}

func (h *host) dial(ctx context.Context, files httpapi.PEM, found Kind) (*connection, error) {
	tlsConfig, err := h.tlsConfig(files)
	if err != nil {
		return nil, err
	}
	c := &connection{transport: h.transport(tlsConfig), files: files, labelled: h.labelled, kind: h.config.Kind}
	if c.kind == "" {
		c.kind, c.guessed = found, true
	}
	version := "" // negotiated
	if c.kind == Classic {
		version = classicVersion
	}
	if err := h.negotiate(ctx, c, version); err != nil {
		c.transport.CloseIdleConnections()
		return nil, err
	}
	return c, nil
}

// negotiate agrees with the daemon on an API version, and finds out its kind.
func (h *host) negotiate(ctx context.Context, c *connection, version string) error {
	var err error
	if c.client, err = h.client(c.transport, version); err != nil {
		return err
	}
	var old error
	if version == "" {
		var ping client.PingResult
		err := ask(ctx, &exchange{}, func(ctx context.Context) (err error) {
			ping, err = c.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
			return err
		})
		switch {
		case err == nil:
			c.versionless = ping.APIVersion == ""
		case errors.As(err, new(*failure)):
			return err
		case c.kind == "":
			// A classic Swarm is older than all that can be negotiated.
			old = fmt.Errorf("it speaks version %s of Docker's API; the oldest supported is %s (Docker 19.03)", ping.APIVersion, client.MinAPIVersion)
			if c.client, err = h.client(c.transport, classicVersion); err != nil {
				return err
			}
		default:
			return fmt.Errorf("kind %s: %w", c.kind, err)
		}
	}
	if c.kind == "" {
		if c.kind, err = findKind(ctx, c); err != nil {
			return err
		}
	}
	switch {
	case old != nil && c.kind != Classic:
		return old
	case c.kind == Engine && len(h.config.hosts()) > 1:
		return errors.New("this is a plain engine; several hosts must be managers of one swarm")
	case c.kind == Classic && version == "":
		c.client, err = h.client(c.transport, classicVersion)
	}
	return err
}

// client makes a client of Docker's library that reads through transport.
func (h *host) client(transport *http.Transport, version string) (*client.Client, error) {
	scheme, name := "http", "unix://"+h.address.path
	if h.address.network == "tcp" {
		name = "tcp://" + h.address.url.Host + h.address.url.Path
		if transport.TLSClientConfig != nil {
			scheme = "https"
		}
	}
	return client.New(
		client.WithHost(name),
		client.WithHTTPClient(&http.Client{Transport: strict{transport, h.maxBody}}),
		client.WithScheme(scheme),
		client.WithAPIVersion(version),
	)
}

// url is that of a path of the API, as transport reaches it.
func (h *host) url(transport *http.Transport, path string) *url.URL {
	u := &url.URL{Scheme: "http", Host: "docker", Path: path}
	if h.address.network == "tcp" {
		u.Host, u.Path = h.address.url.Host, strings.TrimSuffix(h.address.url.Path, "/")+path
	}
	if transport.TLSClientConfig != nil {
		u.Scheme = "https"
	}
	return u
}

func (h *host) transport(tlsConfig *tls.Config) *http.Transport {
	t := httpapi.NewTransport(tlsConfig)
	if h.net != nil {
		t.DialContext = h.net
	}
	if h.address.network == "unix" {
		dial := t.DialContext
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return socket(ctx, dial, h.address.path) }
	}
	return t
}

// tlsConfig is nil if the daemon is spoken to in the clear.
func (h *host) tlsConfig(files httpapi.PEM) (*tls.Config, error) {
	if h.address.network == "unix" || !h.config.tls() && h.address.url.Scheme != "https" {
		return nil, nil
	}
	return h.config.certificates().TLS(files)
}

// findKind asks what answers. Whatever is not a clear answer is an error: a
// manager that has lost its swarm must not pass for a plain engine.
func findKind(ctx context.Context, c *connection) (Kind, error) {
	info, err := readInfo(ctx, c)
	if err != nil {
		return "", err
	}
	const manager = "; name a manager of the swarm, or set kind: engine to use this engine's own containers"
	switch {
	case strings.HasPrefix(info.ServerVersion, "swarm/") || len(info.SystemStatus) > 0:
		return Classic, nil
	case info.Swarm.ControlAvailable && info.Swarm.LocalNodeState == "active":
		return Swarm, nil
	case info.Swarm.LocalNodeState == "active":
		return "", errors.New("this is a worker of a swarm" + manager)
	case info.Swarm.LocalNodeState == "inactive":
		return Engine, nil
	case info.Swarm.LocalNodeState == "":
		return "", errors.New("its answer does not say whether it belongs to a swarm; set kind")
	case info.Swarm.Error != "":
		return "", fmt.Errorf("its swarm is in state %q (%s)%s", info.Swarm.LocalNodeState, info.Swarm.Error, manager)
	default:
		return "", fmt.Errorf("its swarm is in state %q%s", info.Swarm.LocalNodeState, manager)
	}
}
