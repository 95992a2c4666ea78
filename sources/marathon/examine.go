package marathon

import (
	"context"

	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
)

// Examine implements [sources.Examiner]: the way to each Marathon.
func (s *Source) Examine(ctx context.Context, _ []Query) ([]examine.Check, bool) {
	transport := s.Transport
	if transport == nil {
		own, err := s.ownTransport()
		if err != nil {
			return []examine.Check{examine.Fail("certificates", err, "correct ca_file in the mapping")}, false
		}
		transport = own
	}
	var servers []examine.Server
	for _, base := range s.base {
		servers = append(servers, examine.Server{URL: base.String() + "/ping", Transport: transport, Keys: httpapi.Keys("ca_file", "")})
	}
	return examine.Servers(ctx, servers)
}
