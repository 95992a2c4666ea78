package examine

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"nitrox/sources/trust"
)

// Server is one to which requests are made.
type Server struct {
	// URL is asked once, without credentials. Any answer will do.
	URL string
	// Transport is that of all requests.
	Transport http.RoundTripper
	// Keys say whom to trust, for remedies.
	Keys trust.Keys
	// Socket is the local one that the transport connects to, if it does.
	Socket string
}

// Servers examines several of one cluster at a time; one that can be reached is
// enough.
func Servers(ctx context.Context, servers []Server) (checks []Check, reachable bool) {
	each := make([][]Check, len(servers))
	reached := make([]bool, len(servers))
	var g sync.WaitGroup
	for i, s := range servers {
		g.Go(func() { each[i], reached[i] = s.Examine(ctx) })
	}
	g.Wait()
	for i, s := range servers {
		for _, check := range each[i] {
			if u, err := url.Parse(s.URL); err == nil && len(servers) > 1 && !strings.Contains(check.Subject, u.Host) {
				check.Subject += " of " + u.Host
			}
			checks = append(checks, check)
		}
	}
	return checks, slices.Contains(reached, true)
}

const (
	// patience is how long a server may take to answer.
	patience = 10 * time.Second
	// aside and away are the differences between clocks that are unwise, and that
	// tokens and certificates do not survive.
	aside, away = 30 * time.Second, 5 * time.Minute
	// renewal is the time before the end of a certificate at which it should be
	// replaced.
	renewal = 14 * 24 * time.Hour
)

// sight is how far a request came.
type sight struct {
	mu      sync.Mutex
	name    string
	addrs   []string
	unknown error // why the name does not resolve
	at      string
	closed  error // why the port does not answer
	secure  *tls.ConnectionState
}

// Examine looks at the name, the port, the certificate and the clock, as far as
// they are to be seen. reachable: it answered.
func (s Server) Examine(ctx context.Context) (checks []Check, reachable bool) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return []Check{Fail("URL", errors.New("it cannot be parsed"), "correct it in the mapping")}, false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	seen := &sight{}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, seen.trace()), http.MethodGet, s.URL, nil)
	if err != nil {
		return []Check{Fail("URL", errors.New("it cannot be used"), "correct it in the mapping")}, false
	}
	proxy := trust.Proxy(s.Transport, request)
	began := time.Now()
	response, err := s.Transport.RoundTrip(request)
	took := time.Since(began)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		_ = response.Body.Close() // nothing of it is wanted
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	checks = seen.checks(u, s.Socket, proxy, s.Keys, err)
	if err != nil {
		return checks, false
	}
	return append(checks, clock(response, began.Add(took/2), took)...), true
}

func (s *sight) trace() *httptrace.ClientTrace {
	locked := func(do func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		do()
	}
	return &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) { locked(func() { s.name = i.Host }) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			locked(func() {
				for _, a := range i.Addrs {
					s.addrs = append(s.addrs, a.String())
				}
				slices.Sort(s.addrs)
				s.unknown = i.Err
			})
		},
		ConnectDone: func(_, at string, err error) {
			locked(func() {
				if err != nil {
					s.closed = err
				} else if s.at == "" {
					s.at = at
				}
			})
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			locked(func() {
				if err == nil {
					s.secure = &state
				}
			})
		},
	}
}

// checks are what a request that ended with err was seen to meet, on its way to u.
func (s *sight) checks(u *url.URL, socket, proxy string, keys trust.Keys, err error) (all []Check) {
	advice, _ := trust.Advice(err, keys)
	port := "port " + u.Host
	switch {
	case socket != "":
		port = "socket " + socket
	case u.Port() == "":
		port += map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	}
	if proxy != "" {
		seen := "requests go through " + proxy
		remedy := "if it is not to be used, add " + u.Hostname() + " to NO_PROXY"
		if s.at == "" || strings.Contains(fmt.Sprint(err), "the proxy ") || strings.Contains(fmt.Sprint(err), "proxyconnect") {
			return append(all, Fail("proxy", fmt.Errorf("%s: %w", seen, err), remedy))
		}
		all = append(all, Check{Subject: "proxy", State: Note, Seen: seen, Remedy: remedy})
		port = "port of the proxy"
	}
	if s.name != "" {
		if s.unknown != nil {
			return append(all, Fail("name "+s.name, s.unknown, cmp.Or(advice, "correct the host, or the resolver of this machine")))
		}
		all = append(all, Fine("name "+s.name, strings.Join(s.addrs, ", ")))
	}
	switch {
	case s.at == "" && err != nil:
		return append(all, Fail(port, cause(s.closed, err), cmp.Or(advice, closed(cause(s.closed, err)))))
	case socket != "":
		all = append(all, Fine(port, "answers"))
	case s.at != "":
		all = append(all, Fine(port, "answers at "+s.at))
	}
	if u.Scheme == "https" {
		if s.secure == nil && err != nil {
			return append(all, Fail("TLS", err, cmp.Or(advice, "see what answers there with openssl s_client -connect "+u.Host)))
		}
		if s.secure != nil && len(s.secure.PeerCertificates) > 0 {
			all = append(all, certificate(s.secure.PeerCertificates[0]))
		}
	}
	if err != nil {
		all = append(all, Fail("answer", err, cmp.Or(advice, "see what listens there; it took the connection, and gave no answer")))
	}
	return all
}

// cause is the error of the connection, unless that of the request says more.
func cause(connection, request error) error {
	if connection == nil || strings.Contains(request.Error(), "; ") {
		return request
	}
	return connection
}

// closed is what to do about a connection that was not made.
func closed(err error) string {
	var timeout net.Error
	switch {
	case strings.Contains(err.Error(), "refused"):
		return "correct the port, or start what should listen there"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), strings.Contains(err.Error(), "no answer"):
		return "correct the address, or open the firewalls on the way"
	}
	return "correct the address, or the route to it"
}

// certificate is the one that a server was trusted with.
func certificate(c *x509.Certificate) Check {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{"no name"}
	}
	check := Fine("TLS", fmt.Sprintf("accepted, with a certificate for %s until %s; its SHA-256 fingerprint is %s",
		strings.Join(names[:min(len(names), 3)], ", "), c.NotAfter.UTC().Format(time.DateOnly), trust.Of(c)))
	if left := time.Until(c.NotAfter); left < renewal && left > 0 {
		check.State, check.Remedy = Warning, fmt.Sprintf("replace it: it ends in %d hours", int(left.Hours()))
	}
	return check
}

// clock compares that of a server with ours at the time of its answer. Its Date has
// whole seconds.
func clock(r *http.Response, ours time.Time, took time.Duration) []Check {
	theirs, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return nil // it does not tell
	}
	apart := theirs.Sub(ours)
	switch exact := apart + time.Second/2; {
	case exact.Abs() < took/2+time.Second:
		return []Check{Fine("clock", "as here")}
	case exact.Abs() < aside:
		return []Check{Fine("clock", fmt.Sprintf("%v from ours", exact.Round(time.Second)))}
	default:
		which, state := "ahead of", Failed
		if apart < 0 {
			which = "behind"
		}
		if exact.Abs() < away {
			state = Warning
		}
		return []Check{{Subject: "clock", State: state,
			Seen: fmt.Sprintf("it is %v %s ours: the server says %s, this machine %s", exact.Abs().Round(time.Second), which,
				theirs.UTC().Format("15:04:05 on 2006-01-02"), ours.UTC().Format("15:04:05 on 2006-01-02 (UTC)")),
			Remedy: "see with date -u which of the two is wrong, and set it by NTP: tokens, certificates and drains depend on it"}}
	}
}
