package sourcetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Network is a network in memory. Its connections rest in testing/synctest,
// which sockets do not, and carry answers that never end.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	serving   sync.WaitGroup
	servers   []*http.Server
}

// Serve answers at an address, host:port. With a nil handler nobody does, ever.
func (n *Network) Serve(address string, h http.Handler) {
	l := &listener{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ErrorLog: silent}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = make(map[string]*listener)
	}
	n.listeners[address] = l
	if h == nil {
		return
	}
	n.servers = append(n.servers, server)
	n.serving.Go(func() { server.Serve(l) }) // until it is closed
}

// Close ends all connections.
func (n *Network) Close() {
	n.mu.Lock()
	servers := n.servers
	n.mu.Unlock()
	for _, s := range servers {
		s.Close()
	}
	n.serving.Wait()
}

// Dial connects as a [net.Dialer] does.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s %s: connection refused", network, address)
	}
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	address string
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr  { return l }
func (l *listener) Network() string { return "memory" }
func (l *listener) String() string  { return l.address }
