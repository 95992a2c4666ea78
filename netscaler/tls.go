package netscaler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"nitrox/textfile"
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
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s contains no PEM certificate", c.CAFile)
		}
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: c.Timeout}).DialContext,
		TLSClientConfig:     settings,
		TLSHandshakeTimeout: c.Timeout,
		MaxIdleConnsPerHost: readers,
		// Short: a write on a connection that the appliance is just closing
		// would be one of those whose outcome is not known.
		IdleConnTimeout:        5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

// untrusted says whether err is about TLS and the appliance's certificate, and
// what to do. Trying again cannot help.
func untrusted(err error) (advice string, yes bool) {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		record    tls.RecordHeaderError
		cert      *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &authority):
		return "name the file of the certificate to trust in ca_file", true
	case errors.As(err, &name):
		return "put the name in the certificate into server_name", true
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the port does not speak TLS; is it the https port?", true
	case errors.As(err, &cert):
		return "the certificate is not valid", true
	}
	return "", false
}
