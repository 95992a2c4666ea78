package docker

import (
	"context"

	"nitrox/sources/examine"
)

// Examine implements [sources.Examiner]: the way to each daemon.
func (s *Source) Examine(ctx context.Context, _ []Query) ([]examine.Check, bool) {
	var servers []examine.Server
	for _, h := range s.hosts {
		files, err := h.config.certificates().Read()
		if err != nil {
			return []examine.Check{examine.Fail("certificates", err, "correct the names of the files in the mapping")}, false
		}
		tls, err := h.tlsConfig(files)
		if err != nil {
			return []examine.Check{examine.Fail("certificates", err, "correct the files")}, false
		}
		transport := h.transport(tls)
		defer transport.CloseIdleConnections()
		servers = append(servers, examine.Server{URL: h.url(transport, "/_ping").String(), Socket: h.address.path,
			Transport: transport, Keys: trustKeys})
	}
	return examine.Servers(ctx, servers)
}
