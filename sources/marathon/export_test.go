package marathon

import (
	"context"
	"io"
	"net/netip"
)

// Limit lowers the size above which answers are refused.
func (s *Source) Limit(bytes int64) { s.maxBody = bytes }

// Resolve looks names up by f.
func (s *Source) Resolve(f func(ctx context.Context, host string) ([]netip.Addr, error)) {
	s.names.lookup = func(ctx context.Context, _, host string) ([]netip.Addr, error) { return f(ctx, host) }
}

// ReadEvents reads a stream of events.
func ReadEvents(r io.Reader, happened func(kind string, data []byte)) error {
	return readEvents(r, func(e event) { happened(e.kind, e.data) })
}

// ByID says whether n apps of so many are asked for one by one.
func ByID(n, apps int) bool { return byID(n, apps) }
