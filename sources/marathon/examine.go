package marathon

import (
	"context"

	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
)

// Examine implements [sources.Examiner]: the files that are named, and the way to each
// Marathon.
func (s *Source) Examine(ctx context.Context, _ []Query) (checks []examine.Check, usable bool) {
	if err := s.config.CheckFiles(); err != nil {
		checks = []examine.Check{examine.Fail("files", err, "correct what is in them, or their names in the mapping")}
	}
	transport := s.Transport
	if transport == nil {
		own, err := s.ownTransport()
		if err != nil {
			return checks, false // as was said of ca_file
		}
		transport = own
	}
	var servers []examine.Server
	for _, base := range s.base {
		servers = append(servers, examine.Server{URL: base.String() + "/ping", Transport: transport, Keys: httpapi.Keys("ca_file", "")})
	}
	way, reachable := examine.Servers(ctx, servers)
	return append(checks, way...), reachable && len(checks) == 0
}
