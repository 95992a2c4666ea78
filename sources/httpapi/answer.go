package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/trust"
)

// StatusError is an answer whose status is not 200.
type StatusError struct {
	Code int
	Err  error // begins with the status
}

func (e *StatusError) Error() string { return e.Err.Error() }
func (e *StatusError) Unwrap() error { return e.Err }

// Forbidden says whether err is about missing rights.
func Forbidden(err error) bool { return HasCode(err, http.StatusForbidden) }

// HasCode says whether err is an answer with this status.
func HasCode(err error, code int) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == code
}

// NewStatusError is the error of an answer that is not 200, with the reason that
// cluster managers put into the message of a JSON object, or where others find it,
// and proxies into text or HTML.
func NewStatusError(resp *http.Response, others ...func(body []byte) string) *StatusError {
	text := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	fail := func(format string, args ...any) *StatusError {
		return &StatusError{resp.StatusCode, fmt.Errorf(text+format, args...)}
	}
	switch to, err := resp.Location(); {
	case resp.StatusCode < 300:
		return fail(": only 200 is a complete answer")
	case resp.StatusCode < 400 && err != nil:
		return fail(": redirects are not followed")
	case resp.StatusCode < 400:
		return fail(" to %s://%s: redirects are not followed", to.Scheme, to.Host)
	}
	body, err := io.ReadAll(io.LimitReader(bounds.NewBody(resp, 1<<20), 64<<10))
	if err != nil {
		return fail(": %w", err)
	}
	whose, message := "", Message(body)
	for _, other := range others {
		message = cmp.Or(message, other(body))
	}
	if message != "" {
		body = []byte(message)
	} else if resp.Request.URL.Scheme == "http" { // by TLS a proxy cannot answer in the place of a server
		if via := trust.Via(resp.Request.URL.String()); via != "" {
			whose = " (" + via + ")"
		} else if resp.StatusCode == http.StatusBadRequest {
			whose = "; if the port expects TLS, write https:// in the URL, or give ca_file for Docker"
		}
	}
	if line := sources.Excerpt(body); line != "" {
		text += ": " + line
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		text += " (Retry-After: " + sources.Excerpt(after) + ")"
	}
	return &StatusError{resp.StatusCode, errors.New(text + whose)}
}

// Message is the message of a JSON object; "" if there is none.
func Message(body []byte) string {
	var object struct{ Message string }
	if json.Unmarshal(body, &object) != nil {
		return ""
	}
	return object.Message
}

// ReadAll reads the body of an answer of at most max bytes.
func ReadAll(resp *http.Response, max int64) ([]byte, error) {
	var all bytes.Buffer
	if length := resp.ContentLength; length > 0 && resp.Body != http.NoBody {
		all.Grow(int(min(length, max)) + bytes.MinRead)
	}
	if _, err := all.ReadFrom(bounds.NewBody(resp, max)); err != nil {
		return nil, err
	}
	return all.Bytes(), nil
}
