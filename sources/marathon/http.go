package marathon

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
	"nitrox/sources/trust"
)

// maxBody is the size in bytes above which an answer is refused. 25,000 tasks
// are about 40 MB.
const maxBody = 256 << 20

// trustKeys say whom to trust.
var trustKeys = httpapi.Keys("ca_file", "")

// maxRedirects is how many redirects between configured hosts are followed.
const maxRedirects = 3

// client makes requests to the Marathons of one cluster, all with the same
// credentials.
type client struct {
	http    *http.Client
	auth    credentials
	maxBody int64
}

// newClient makes a client of a poll. base are the configured URLs: only their
// hosts are ever sent a request.
func newClient(t http.RoundTripper, base []*url.URL, auth credentials, maxBody int64) *client {
	follow := func(r *http.Request, via []*http.Request) error {
		configured := func(u *url.URL) bool { return u.Scheme == r.URL.Scheme && u.Host == strings.ToLower(r.URL.Host) }
		if len(via) > maxRedirects || !slices.ContainsFunc(base, configured) {
			return http.ErrUseLastResponse
		}
		// Go drops credentials between hosts of different names.
		if value := via[0].Header.Get("Authorization"); value != "" {
			r.Header.Set("Authorization", value)
		}
		return nil
	}
	return &client{&http.Client{Transport: t, CheckRedirect: follow}, auth, maxBody}
}

// get makes a request. accept reads the answer; it is never handed more than
// maxBody bytes.
func (c *client) get(ctx context.Context, at string, accept func(*http.Response, io.Reader) error) error {
	resp, err := c.open(ctx, at, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := bounds.NewBody(resp, c.maxBody)
	err = accept(resp, body)
	return cmp.Or(body.Err, err)
}

// open makes a request for an answer of a type. It is repeated once, where
// Marathon refuses a token that was good before.
func (c *client) open(ctx context.Context, at, kind string) (*http.Response, error) {
	r, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", kind)
	bounds.Compressed(r.Request)
	if kind == eventStream {
		// What compresses an answer may keep events until it has a block of them.
		r.Header.Set("Accept-Encoding", "identity")
	}
	renewed, err := c.auth.authorize(ctx, r.Request, false)
	if err != nil {
		return nil, err
	}
	// Its own policy repeats for half a minute what the next pass, or the next
	// host, does better, and keeps the reason to itself.
	retries := &retryablehttp.Client{
		HTTPClient: c.http,
		RetryMax:   1,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			again := err == nil && resp.StatusCode == http.StatusUnauthorized && !renewed && c.auth.dcos != nil
			return again, nil
		},
		PrepareRetry: func(r *http.Request) (err error) {
			renewed, err = c.auth.authorize(ctx, r, true)
			return err
		},
		Backoff:      func(time.Duration, time.Duration, int, *http.Response) time.Duration { return 0 },
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	resp, err := retries.Do(r)
	if err != nil {
		return nil, trust.Explain(httpapi.Cause(err), trustKeys)
	}
	if resp.StatusCode/100 == 3 {
		resp.Body.Close()
		return nil, fmt.Errorf("%w, except to the configured urls", httpapi.NewStatusError(resp))
	}
	return resp, nil
}
