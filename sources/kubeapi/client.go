package kubeapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
	"nitrox/sources/redact"
	"nitrox/sources/trust"
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

func newClient(config *rest.Config, http1 bool, pins []trust.Fingerprint) (*Client, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "nitrox"
	config.Timeout = 0 // the context has it
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return noted{rt} })
	if http1 {
		config.NextProtos = []string{"http/1.1"}
	}
	if len(pins) > 0 {
		config.CAFile, config.CAData, config.Insecure = "", nil, true
	}
	if err := checkFiles(config); err != nil {
		return nil, err
	}
	environment := config.Proxy == nil // a kubeconfig can name another proxy
	if environment {
		config.Proxy = http.ProxyFromEnvironment
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
	// Having been given a function for the proxy, client-go shares it with nobody.
	t, err := under(own.Transport)
	if err != nil {
		return nil, err
	}
	t.MaxResponseHeaderBytes = bounds.MaxHeader
	if environment {
		trust.UseProxies(t)
	}
	if len(pins) > 0 && base.Scheme != "https" {
		return nil, errors.New("certificate_sha256: the server is not an https:// URL")
	}
	trust.Pin(t.TLSClientConfig, pins)
	return &Client{http: &own, base: base, tokenFile: config.BearerTokenFile}, nil
}

// checkFiles finds what is wrong with the certificates of a kubeconfig, of which
// client-go reads some only when it connects.
func checkFiles(config *rest.Config) error {
	c := rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(c); err != nil {
		return bounds.Unread(err)
	}
	if len(c.CAData) > 0 {
		if _, err := trust.Pool("certificate-authority", c.CAData); err != nil {
			return err
		}
	}
	if len(c.CertData) > 0 && len(c.KeyData) > 0 {
		_, err := trust.Pair("client-certificate", "client-key", c.CertData, c.KeyData)
		return err
	}
	return nil
}

// under is the transport that those of client-go are wrapped around.
func under(t http.RoundTripper) (*http.Transport, error) {
	for {
		switch outer := t.(type) {
		case *http.Transport:
			return outer, nil
		case utilnet.RoundTripperWrapper:
			t = outer.WrappedRoundTripper()
		default:
			return nil, fmt.Errorf("client-go has a transport that is not known: %T", t)
		}
	}
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

// JSON is the form that every API server and proxy can answer in.
const JSON = "application/json"

// Open makes a request for an answer that goes on, and returns when it begins.
func (c *Client) Open(ctx context.Context, u *url.URL) (*http.Response, error) {
	return c.open(ctx, http.MethodGet, u, nil, JSON, "identity")
}

func (c *Client) open(ctx context.Context, method string, u *url.URL, body []byte, accept, encoding string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	if body != nil {
		request.Header.Set("Content-Type", JSON)
	}
	if err := c.authorize(request); err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	return response, httpapi.Cause(err)
}

// Do makes a request and returns the body of a whole answer of at most max bytes.
func (c *Client) Do(ctx context.Context, method string, u *url.URL, body []byte, max int64) (text []byte, err error) {
	err = c.read(ctx, method, u, body, JSON, func(response *http.Response) (err error) {
		text, err = httpapi.ReadAll(response, max)
		return err
	})
	return text, err
}

// Read asks for something in one of the forms that it accepts, and hands over an
// answer whose status is 200.
func (c *Client) Read(ctx context.Context, u *url.URL, accept string, read func(*http.Response) error) error {
	return c.read(ctx, http.MethodGet, u, nil, accept, read)
}

// read takes 201 for an answer, too, where something was to be written. It returns
// when ctx ends, and not before the answer has been let go.
func (c *Client) read(ctx context.Context, method string, u *url.URL, body []byte, accept string, read func(*http.Response) error) error {
	response, err := httpapi.Begin(ctx, func(ctx context.Context) (*http.Response, error) {
		return c.open(ctx, method, u, body, accept, "gzip")
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && (body == nil || response.StatusCode != http.StatusCreated) {
		refused := httpapi.NewStatusError(response, messageOf)
		if refused.Code == http.StatusUnauthorized {
			refused.Err = fmt.Errorf("%w (the credentials are missing, expired or another cluster's: %s)", refused.Err, c.Renew())
		}
		return refused
	}
	return read(response)
}

// Magic is what an answer in protobuf begins with; the rest is a [runtime.Unknown].
const Magic = "k8s\x00"

// messageOf is the message of a Status in protobuf: who asks for a list in that form
// is refused in it, too.
func messageOf(body []byte) string {
	var object runtime.Unknown
	var status metav1.Status
	message, ok := bytes.CutPrefix(body, []byte(Magic))
	if !ok || object.Unmarshal(message) != nil || status.Unmarshal(object.Raw) != nil {
		return ""
	}
	return status.Message
}

// Renew says where to get credentials that the API server takes.
func (c *Client) Renew() string {
	if c.kubeconfig == nil {
		return "mount the token of a service account of this cluster into the pod"
	}
	return "renew the user of the kubeconfig's context, and see with kubectl auth whoami who it is"
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
