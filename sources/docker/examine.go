package docker

import (
	"context"
	"net/url"
	"strings"

	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
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
		u := url.URL{Scheme: "http", Host: "docker", Path: "/_ping"}
		socket := ""
		if h.address.network == "tcp" {
			u.Host, u.Path = h.address.url.Host, strings.TrimSuffix(h.address.url.Path, "/")+u.Path
		} else {
			socket = h.address.path
		}
		if tls != nil {
			u.Scheme = "https"
		}
		transport := h.transport(tls)
		defer transport.CloseIdleConnections()
		servers = append(servers, examine.Server{URL: u.String(), Socket: socket, Transport: transport,
			Keys: httpapi.Keys("ca_file", "server_name")})
	}
	return examine.Servers(ctx, servers)
}
