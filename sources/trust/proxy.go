package trust

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// UseProxies makes a transport use the proxies of the environment, as any Go
// program does, and its errors name the one that would not connect.
func UseProxies(t *http.Transport) {
	t.Proxy = http.ProxyFromEnvironment
	t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, connect *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		return &refusal{proxy: named(proxy), host: connect.Host, status: resp.StatusCode}
	}
}

// refusal is a proxy's answer to the request to connect it to a host.
type refusal struct {
	proxy, host string
	status      int
}

func (r *refusal) Error() string {
	remedy := "if it is not to be used, add the host to NO_PROXY"
	if r.status == http.StatusProxyAuthRequired {
		remedy = "give a username and a password in HTTPS_PROXY or, " + remedy
	}
	return fmt.Sprintf("the proxy %s, which the environment names, does not connect to %s: %d %s; %s",
		r.proxy, r.host, r.status, http.StatusText(r.status), remedy)
}

// Via names the proxy through which the environment has requests to a URL go, and
// which may have answered in the place of whom it names; "" if there is none.
func Via(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil || proxy == nil {
		return ""
	}
	return fmt.Sprintf("the proxy %s, which the environment names, may have answered in its place; if it is not to be used, add %s to NO_PROXY", named(proxy), u.Hostname())
}

// named is a proxy without its username and password.
func named(proxy *url.URL) string { return proxy.Scheme + "://" + proxy.Host }

// Proxy is the proxy, without username and password, that a transport uses for a
// request; "" if there is none, or it is no transport of our making.
func Proxy(t http.RoundTripper, r *http.Request) string {
	own, ok := t.(*http.Transport)
	if !ok || own.Proxy == nil {
		return ""
	}
	proxy, err := own.Proxy(r)
	if err != nil || proxy == nil {
		return ""
	}
	return named(proxy)
}
