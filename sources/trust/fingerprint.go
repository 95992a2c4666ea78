// Package trust is about who is at the other end of a connection: a server whose
// certificate is trusted by its fingerprint, a proxy that answers in its place,
// and what to do where it is not who it should be.
package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Fingerprint is the SHA-256 of a certificate as a whole, not of its key alone,
// because that is what appliances, browsers and openssl show: 64 hexadecimal
// digits, in any case, with or without colons.
type Fingerprint string

// Of is the fingerprint of a certificate, as openssl writes it.
func Of(cert *x509.Certificate) Fingerprint {
	sum := sha256.Sum256(cert.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return Fingerprint(strings.Join(pairs, ":"))
}

// Check refuses what no certificate can have.
func (f Fingerprint) Check() error {
	sum, err := hex.DecodeString(f.digits())
	switch {
	case err == nil && len(sum) == sha256.Size:
		return nil
	case err == nil && len(sum) == 20:
		return errors.New("is a SHA-1 fingerprint; give the SHA-256 one, which openssl x509 -noout -fingerprint -sha256 prints")
	}
	return errors.New("must be the SHA-256 fingerprint of a certificate: 64 hexadecimal digits, colons allowed," +
		" as openssl x509 -noout -fingerprint -sha256 prints them")
}

func (f Fingerprint) digits() string { return strings.ToLower(strings.ReplaceAll(string(f), ":", "")) }

// Pin makes connections trust the server whose own certificate has one of the
// fingerprints, and no other. That takes the place of its name, its chain and its
// dates: the certificate is known. Without fingerprints nothing changes.
//
// VerifyConnection is asked about each connection, also one that resumes a
// session; VerifyPeerCertificate would not be.
func Pin(config *tls.Config, pins []Fingerprint) {
	if len(pins) == 0 {
		return
	}
	config.InsecureSkipVerify = true //nolint:gosec // the fingerprint is verified instead
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server presents no certificate")
		}
		seen := Of(state.PeerCertificates[0])
		for _, pin := range pins {
			if pin.digits() == seen.digits() {
				return nil
			}
		}
		return &Mismatch{seen}
	}
}

// Mismatch is the error of a connection to a server with another certificate than
// those that are pinned.
type Mismatch struct{ Seen Fingerprint }

func (m *Mismatch) Error() string {
	return fmt.Sprintf("certificate_sha256 does not list the server's certificate, whose SHA-256 fingerprint is %s", m.Seen)
}
