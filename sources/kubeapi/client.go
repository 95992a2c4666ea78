package kubeapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"nitrox/redact"
	"nitrox/sources/httpapi"
)

// Client makes requests to one API server. There is neither a limit of requests
// per second nor a retry in it.
type Client struct {
	http *http.Client
	base *url.URL
	// tokenFile, if any, is read for each request. client-go would keep what
	// was in it for a minute, even when it is refused.
	tokenFile string
	// kubeconfig is what it was made from; nil: a pod's service account.
	kubeconfig *api.Config
}

func newClient(config *rest.Config, http1 bool) (*Client, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "nitrox"
	config.Timeout = 0 // the context has it
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return noted{rt} })
	if http1 {
		config.NextProtos = []string{"http/1.1"}
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	own := *shared
	own.CheckRedirect = httpapi.Stay
	return &Client{http: &own, base: base, tokenFile: config.BearerTokenFile}, nil
}

// noted keeps from messages what proves who makes a request, wherever that came
// from: it is below everything that adds credentials.
type noted struct{ http.RoundTripper }

func (n noted) RoundTrip(r *http.Request) (*http.Response, error) {
	redact.Sent(r.Header)
	return n.RoundTripper.RoundTrip(r)
}

// WrappedRoundTripper lets client-go close connections that are not in use.
func (n noted) WrappedRoundTripper() http.RoundTripper { return n.RoundTripper }

// Host is the API server's, for errors.
func (c *Client) Host() string { return c.base.Host }

// URL is that of a path.
func (c *Client) URL(path ...string) *url.URL { return c.base.JoinPath(path...) }

// Open makes a request and returns its answer when that begins.
func (c *Client) Open(ctx context.Context, method string, u *url.URL, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if err := c.authorize(request); err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	return response, httpapi.Cause(err)
}

// Do makes a request and returns the body of a whole answer with status 200, or
// 201 where something was to be written. It returns when ctx ends, although a
// credential plug-in may not.
func (c *Client) Do(ctx context.Context, method string, u *url.URL, body []byte, max int64) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		body, err := c.do(ctx, method, u, body, max)
		done <- answer{body, err}
	}()
	select {
	case a := <-done:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) do(ctx context.Context, method string, u *url.URL, body []byte, max int64) ([]byte, error) {
	response, err := c.Open(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && (body == nil || response.StatusCode != http.StatusCreated) {
		return nil, httpapi.NewStatusError(response)
	}
	return httpapi.ReadAll(response, max)
}

// authorize adds the token of a file to a request. Other credentials are added
// on the way; client-go leaves alone what is there.
func (c *Client) authorize(request *http.Request) error {
	if c.tokenFile == "" {
		return nil
	}
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	text := strings.TrimSpace(string(token))
	if text == "" {
		return fmt.Errorf("token: %s is empty", c.tokenFile)
	}
	request.Header.Set("Authorization", "Bearer "+text)
	return nil
}
