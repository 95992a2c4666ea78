package trust

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// Pool are the certificates to trust that are in the text of a file.
func Pool(file string, text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate%s; name the file of the CA's certificate", file, instead(text))
	}
	return pool, nil
}

// Pair is the certificate to present and its key, in the texts of files.
func Pair(certFile, keyFile string, cert, key []byte) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err == nil {
		return pair, nil
	}
	advice := "give the certificate that was issued for this key"
	block := find(key, "PRIVATE KEY")
	switch {
	case find(cert, "CERTIFICATE") == nil:
		return pair, fmt.Errorf("%s contains no PEM certificate%s; name the file of the client's certificate", certFile, instead(cert))
	case block == nil:
		return pair, fmt.Errorf("%s contains no PEM private key%s; name the file of the client's key", keyFile, instead(key))
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return pair, fmt.Errorf("%s has a passphrase, for which nobody can be asked; remove it with openssl pkey -in %s -out FILE", keyFile, keyFile)
	case !strings.Contains(err.Error(), "does not match"):
		advice = "see what openssl says of both"
	}
	return pair, fmt.Errorf("%s and %s: %w; %s", certFile, keyFile, err, advice)
}

// find is the first block of a kind, such as "EC PRIVATE KEY"; nil: there is none.
func find(text []byte, kind string) *pem.Block {
	for {
		block, rest := pem.Decode(text)
		if block == nil || block.Type == kind || strings.HasSuffix(block.Type, " "+kind) {
			return block
		}
		text = rest
	}
}

// instead says what a text has instead of what is wanted.
func instead(text []byte) string {
	if block, _ := pem.Decode(text); block != nil {
		return ", but the block " + block.Type
	}
	return ""
}
