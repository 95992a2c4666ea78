package netscaler

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"nitrox/sources/textfile"
	"nitrox/sources/trust"
)

// newTransport connects as the configuration says. The system's proxies are
// honoured, as in any Go program.
func newTransport(c Config) (*http.Transport, error) {
	settings := &tls.Config{
		ServerName: c.ServerName,
		//nolint:gosec // the operator's explicit choice, off by default
		InsecureSkipVerify: c.InsecureSkipVerify,
	}
	if c.CAFile != "" {
		pem, err := textfile.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		if settings.RootCAs, err = trust.Pool(c.CAFile, pem); err != nil {
			return nil, err
		}
	}
	trust.Pin(settings, c.CertificateSHA256)
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: c.Timeout}).DialContext,
		TLSClientConfig:     settings,
		TLSHandshakeTimeout: c.Timeout,
		MaxIdleConnsPerHost: readers,
		// Short: a write on a connection that the appliance is just closing
		// would be one of those whose outcome is not known.
		IdleConnTimeout:        5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	trust.UseProxies(transport)
	return transport, nil
}

// untrusted says whether err is about TLS and the appliance's certificate, or
// about a proxy in between, and what to do. Trying again cannot help.
func untrusted(err error) (advice string, yes bool) {
	return trust.Advice(err, trustKeys)
}

var trustKeys = trust.Keys{CAFile: "ca_file", ServerName: "server_name",
	// Where the certificate of the management services is, unless it was replaced.
	Compare: "in its shell: openssl x509 -noout -fingerprint -sha256 -in /nsconfig/ssl/ns-server.cert"}
