package kubeapi

import (
	"context"
	"net/http"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
	"nitrox/sources/trust"
)

// Keys are those of a kubeconfig that say whom to trust.
func Keys() trust.Keys {
	return httpapi.Keys("the kubeconfig's certificate-authority", "the kubeconfig's tls-server-name")
}

// Files are those in which a kubeconfig is looked for that the mapping does not
// name; none in a pod with a service account.
func (c *Cluster) Files() []string {
	if _, err := rest.InClusterConfig(); err == nil && c.Context == "" || c.Kubeconfig != "" {
		return nil
	}
	return clientcmd.NewDefaultClientConfigLoadingRules().GetLoadingPrecedence()
}

// Examine looks at the way to the API server.
func (c *Client) Examine(ctx context.Context) ([]examine.Check, bool) {
	var transport http.RoundTripper = c.http.Transport
	if bare, err := under(transport); err == nil { // without credentials
		transport = bare
	}
	return examine.Server{URL: c.URL("version").String(), Transport: transport, Keys: Keys()}.Examine(ctx)
}
