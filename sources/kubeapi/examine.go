package kubeapi

import (
	"context"
	"net/http"

	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
	"nitrox/sources/trust"
)

// Keys are those of a kubeconfig that say whom to trust.
func Keys() trust.Keys {
	return httpapi.Keys("the kubeconfig's certificate-authority", "the kubeconfig's tls-server-name")
}

// Examine looks at the way to the API server.
func (c *Client) Examine(ctx context.Context) ([]examine.Check, bool) {
	var transport http.RoundTripper = c.http.Transport
	if bare, err := under(transport); err == nil { // without credentials
		transport = bare
	}
	return examine.Server{URL: c.URL("version").String(), Transport: transport, Keys: Keys()}.Examine(ctx)
}
