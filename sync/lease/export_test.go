package lease

import "net/http"

// New is a lease whose API server is reached through rt.
func New(c Config, rt http.RoundTripper) (*Lease, error) {
	l, err := newLease(c)
	if err != nil {
		return nil, err
	}
	l.leases.cluster.Transport = rt
	return l, nil
}
