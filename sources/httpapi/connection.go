package httpapi

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/redact"
	"nitrox/sources/textfile"
	"nitrox/sources/trust"
)

// Certificates are the files and the name that TLS is set up with; each may be
// empty.
type Certificates struct {
	// CAFile holds the certificates that the server's must be signed by, instead
	// of the system's.
	CAFile sources.Path
	// CertFile and KeyFile hold the certificate to present.
	CertFile, KeyFile sources.Path
	// ServerName is the name in the server's certificate, if that is not the
	// host's.
	ServerName string
	// SHA256 are the fingerprints of the only certificates to trust in the server,
	// instead of any that have the right name and authority.
	SHA256 []trust.Fingerprint
}

// PEM is what is in the files of certificates. It can be compared: they may be
// renewed at any time.
type PEM struct{ ca, cert, key string }

// Read reads the files.
func (c Certificates) Read() (PEM, error) {
	var texts [3]string
	for i, path := range []sources.Path{c.CAFile, c.CertFile, c.KeyFile} {
		if path == "" {
			continue
		}
		content, err := textfile.ReadFile(string(path))
		if err != nil {
			return PEM{}, err
		}
		texts[i] = string(content)
	}
	return PEM{ca: texts[0], cert: texts[1], key: texts[2]}, nil
}

// Check reads the files, and says what is wrong with them under the keys that
// all sources have for them.
func (c Certificates) Check() error {
	var problems sources.Problems
	for _, part := range []struct {
		key   string
		files Certificates
	}{{"ca_file", Certificates{CAFile: c.CAFile}}, {"cert_file", Certificates{CertFile: c.CertFile, KeyFile: c.KeyFile}}} {
		pem, err := part.files.Read()
		if err == nil {
			_, err = part.files.TLS(pem)
		}
		if err != nil {
			problems.Add(part.key, "%w", err)
		}
	}
	return problems.Err()
}

// TLS is the configuration with what was read.
func (c Certificates) TLS(pem PEM) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		var err error
		if config.RootCAs, err = trust.Pool(string(c.CAFile), []byte(pem.ca)); err != nil {
			return nil, err
		}
	}
	redact.Keep(pem.key)
	if c.CertFile != "" {
		pair, err := trust.Pair(string(c.CertFile), string(c.KeyFile), []byte(pem.cert), []byte(pem.key))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	trust.Pin(config, c.SHA256)
	return config, nil
}

// Keys are those of a source that say whom to trust, for [trust.Explain]; caFile
// and serverName are empty where it has none.
func Keys(caFile, serverName string) trust.Keys {
	return trust.Keys{CAFile: caFile, ServerName: serverName, Compare: "openssl x509 -noout -fingerprint -sha256 -in its certificate file"}
}

// NewTransport connects with the limits that all cluster managers share; what a
// request takes as a whole is its context's. config nil: without TLS.
func NewTransport(config *tls.Config) *http.Transport {
	t := &http.Transport{
		MaxResponseHeaderBytes: bounds.MaxHeader,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
	}
	trust.UseProxies(t)
	return t
}
