package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Keys are what a mapping can say, beside certificate_sha256, about whom to trust,
// and how a fingerprint is compared.
type Keys struct {
	// CAFile and ServerName are the names of those keys; empty: there are none.
	CAFile, ServerName string
	// Compare is a command that shows the certificate's fingerprint where it is
	// known to be right.
	Compare string
}

// Explain adds to the error of a connection what to do about it.
func Explain(err error, keys Keys) error {
	if advice, _ := Advice(err, keys); advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

// agreesOnNothing: it is an alert of TLS, for which crypto/tls has no type, that says
// that the two have no version or no cipher in common.
func agreesOnNothing(alert error) bool {
	switch alert.Error() {
	case "tls: handshake failure", "tls: protocol version not supported", "tls: insufficient security level":
		return true
	}
	return false
}

// Advice is what to do about the error of a connection; "" if there is nothing to
// add. lasting: it is about whom to trust, or how to speak to them, so that trying
// again cannot help.
func Advice(err error, keys Keys) (advice string, lasting bool) {
	var (
		invalid x509.CertificateInvalidError
		cert    *tls.CertificateVerificationError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		connect *net.OpError
		lookup  *net.DNSError
		refused *refusal
	)
	switch {
	case err == nil:
	case errors.As(err, new(*Mismatch)):
		return "list it only if the server itself shows the same (" + keys.Compare + "); otherwise something else answers in its place", true
	case errors.As(err, &cert) && len(cert.UnverifiedCertificates) > 0:
		leaf := cert.UnverifiedCertificates[0]
		pin := fmt.Sprintf("certificate_sha256: %s, if the server itself shows the same fingerprint (%s)", Of(leaf), keys.Compare)
		switch {
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(leaf.NotBefore):
			return "see with date -u whether the clock of this machine is right; " +
				"if so, the server's certificate was made by one that is not: replace it", true
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			return "if the clock of this machine is right, replace the certificate, or pin it: " + pin, true
		case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
			// As appliances make them for themselves: no name and no authority
			// would make Go trust it.
			return "the certificate is for no host name; pin it: " + pin, true
		case errors.As(err, &name) && keys.ServerName != "":
			return "if it is the right host, put the name in its certificate into " + keys.ServerName + ", or pin it: " + pin, true
		case errors.As(err, new(x509.UnknownAuthorityError)) && keys.CAFile != "":
			return "name the file of the certificates to trust in " + keys.CAFile + ", or pin it: " + pin, true
		}
		return "replace the certificate, or pin it: " + pin, true
	case errors.As(err, &connect) && connect.Op == "remote error" && agreesOnNothing(connect.Err):
		return "the server takes neither TLS 1.2 nor 1.3, or none of their ciphers that are safe; enable them there", true
	case strings.Contains(err.Error(), "-bit keys are insecure"): // of crypto/rsa, which has no type for it
		return "the key of the server's certificate is too short; give it a certificate with a key of 2048 bits", true
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the port does not speak TLS; is it the https port?", true
	case errors.As(err, &cert):
		return "replace the certificate, which is not valid", true
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // an alert of TLS; net/http has no type for it
		return "the port expects TLS; write https:// in the URL", true
	case errors.As(err, &refused):
		return "", refused.status < http.StatusInternalServerError // it says what to do itself
	case errors.As(err, &connect) && connect.Op == "remote error" && strings.Contains(err.Error(), "certificate"):
		// An alert of TLS: the other side refuses ours.
		return "the server wants a client certificate that it trusts; give one, if it is the right server", true
	case errors.As(err, &connect) && connect.Op == "proxyconnect":
		return "the environment names this proxy; if it is not to be used, add the host to NO_PROXY", false
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "correct the host, or the resolver of this machine", false
	}
	return "", false
}
