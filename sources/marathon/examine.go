package marathon

import (
	"context"

	"nitrox/sources/examine"
)

// Examine implements [sources.Examiner]: the files that are named, and the way to each
// Marathon.
func (s *Source) Examine(ctx context.Context, _ []Query) (checks []examine.Check, usable bool) {
	if err := s.config.CheckFiles(); err != nil {
		checks = []examine.Check{examine.Fail("files", err, "correct what is in them, or their names in the mapping")}
	}
	transport, err := s.carrier()
	if err != nil {
		return checks, false // as was said of ca_file
	}
	var servers []examine.Server
	for _, base := range s.base {
		servers = append(servers, examine.Server{URL: base.String() + "/ping", Transport: transport, Keys: trustKeys})
	}
	way, reachable := examine.Servers(ctx, servers)
	return append(checks, way...), reachable && len(checks) == 0
}
