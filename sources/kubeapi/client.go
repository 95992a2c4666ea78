package kubeapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"nitrox/bounds"
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
	if http1 {
		config.NextProtos = []string{"http/1.1"}
	}
	config.Wrap(func(t http.RoundTripper) http.RoundTripper {
		if t, ok := t.(*http.Transport); ok && t.MaxResponseHeaderBytes == 0 {
			t.MaxResponseHeaderBytes = bounds.MaxHeader
		}
		return t
	})
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

// Host is the API server's, for errors.
func (c *Client) Host() string { return c.base.Host }

// URL is that of a path.
func (c *Client) URL(path ...string) *url.URL { return c.base.JoinPath(path...) }

// Open makes a request for an answer that goes on, and returns when it begins.
func (c *Client) Open(ctx context.Context, u *url.URL) (*http.Response, error) {
	return c.open(ctx, http.MethodGet, u, nil, "identity")
}

func (c *Client) open(ctx context.Context, method string, u *url.URL, body []byte, encoding string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", encoding)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if err := c.authorize(request); err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	return response, httpapi.Cause(err)
}

// Do makes a request and returns the body of a whole answer of at most max bytes.
func (c *Client) Do(ctx context.Context, method string, u *url.URL, body []byte, max int64) (text []byte, err error) {
	err = c.Read(ctx, method, u, body, func(response *http.Response) (err error) {
		text, err = httpapi.ReadAll(response, max)
		return err
	})
	if err != nil {
		return nil, err // and text may still be written to
	}
	return text, nil
}

// Read makes a request and hands over its answer if the status is 200, or 201
// where something was to be written. It returns when ctx ends, although a
// credential plug-in may not; what read does then is of no use any more.
func (c *Client) Read(ctx context.Context, method string, u *url.URL, body []byte, read func(*http.Response) error) error {
	done := make(chan error, 1)
	go func() { done <- c.read(ctx, method, u, body, read) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) read(ctx context.Context, method string, u *url.URL, body []byte, read func(*http.Response) error) error {
	response, err := c.open(ctx, method, u, body, "gzip")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && (body == nil || response.StatusCode != http.StatusCreated) {
		return httpapi.NewStatusError(response)
	}
	return read(response)
}

// authorize adds the token of a file to a request. Other credentials are added
// on the way; client-go leaves alone what is there.
func (c *Client) authorize(request *http.Request) error {
	if c.tokenFile == "" {
		return nil
	}
	token, err := bounds.ReadFile(c.tokenFile)
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
