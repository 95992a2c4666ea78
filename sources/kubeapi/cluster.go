// Package kubeapi is the way to the API server of a Kubernetes cluster: which one
// it is, who asks, and an answer that is whole or an error.
//
// Of client-go only clientcmd and rest.HTTPClientFor are used, for what is hard
// to get right about credentials. Its clients would limit requests to five a
// second and retry behind our back.
package kubeapi

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
	"nitrox/sources/redact"
	"nitrox/sources/trust"
)

// Cluster says which cluster is meant. The zero value is that of the pod's
// service account, else that of the only context of $KUBECONFIG or
// ~/.kube/config.
type Cluster struct {
	// Kubeconfig names the file to use instead.
	Kubeconfig sources.Path
	// Context is the context to use. A file's current-context never is: it is for
	// people at a keyboard, and changes under a program's feet.
	Context string
	// CertificateSHA256, if any, are the fingerprints of the only certificates to
	// trust in the API server, instead of what the kubeconfig says of that.
	CertificateSHA256 []trust.Fingerprint
	// HTTP1 is for whoever cannot wait until a connection of HTTP/2 whose other
	// end is gone is given up, which takes 45 seconds. Of HTTP/1.1 a request that
	// fails takes its connection with it.
	HTTP1 bool
	// Transport, if it is set, carries all requests, instead of a kubeconfig;
	// tests call an API server in process by it.
	Transport http.RoundTripper

	mu     sync.Mutex
	client *Client
}

// ErrSeveral is wrapped by the error about a kubeconfig with several contexts of
// which none was chosen.
var ErrSeveral = errors.New("it has several contexts")

// Connect returns the client to use now, and contacts nothing. The kubeconfig is
// read each time, because whatever renews credentials rewrites it; connections,
// and what a credential plug-in has told, are kept while it stays the same.
func (c *Cluster) Connect() (*Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Transport != nil {
		if c.client == nil {
			own := &http.Client{Transport: c.Transport, CheckRedirect: httpapi.Stay}
			c.client = &Client{http: own, base: &url.URL{Scheme: "https", Host: "kubernetes.default.svc"}}
		}
		return c.client, nil
	}
	config, kubeconfig, err := c.load()
	if err != nil {
		return nil, err
	}
	if c.client != nil && reflect.DeepEqual(c.client.kubeconfig, kubeconfig) {
		return c.client, nil
	}
	client, err := newClient(config, c.HTTP1, c.CertificateSHA256)
	if err != nil {
		return nil, err
	}
	client.kubeconfig = kubeconfig
	c.client = client
	return client, nil
}

const maxKubeconfig = 4 << 20

// Insecure says whether the kubeconfig tells not to verify the API server's
// certificate.
func (c *Cluster) Insecure() bool {
	config, _, err := c.load()
	return err == nil && config.Insecure
}

// load finds out where the cluster is and who asks. kubeconfig is nil for a
// pod's service account.
func (c *Cluster) load() (config *rest.Config, kubeconfig *api.Config, err error) {
	pod := c.Kubeconfig == "" && c.Context == ""
	if pod {
		config, err := rest.InClusterConfig()
		// A pod may have a kubeconfig in place of a service account's token.
		if !errors.Is(err, rest.ErrNotInCluster) && !errors.Is(err, fs.ErrNotExist) {
			return config, nil, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.MigrationRules = nil // they would move files of versions long past
	rules.WarnIfAllMissing = false
	where := strings.Join(rules.GetLoadingPrecedence(), string(os.PathListSeparator))
	if c.Kubeconfig != "" {
		rules.ExplicitPath = string(c.Kubeconfig)
		where = rules.ExplicitPath
	}
	for _, file := range rules.GetLoadingPrecedence() {
		// clientcmd takes any size.
		info, err := os.Stat(file)
		if err == nil && !info.Mode().IsRegular() && !info.IsDir() && file != os.DevNull { // it may have no end
			return nil, nil, fmt.Errorf("kubeconfig %s is not a regular file; write what it gives into one", file)
		}
		if err == nil && info.Size() > maxKubeconfig {
			return nil, nil, fmt.Errorf("kubeconfig %s is %w: it has more than %d MiB; is it the right file?", file, bounds.ErrTooLarge, maxKubeconfig>>20)
		}
	}
	kubeconfig, err = rules.Load()
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	for _, cluster := range kubeconfig.Clusters {
		redact.URL(cluster.ProxyURL)
	}
	for _, user := range kubeconfig.AuthInfos {
		redact.Keep(string(user.ClientKeyData))
		redact.Session(user.Token)
		redact.Login(user.Username, user.Password)
		if p := user.AuthProvider; p != nil { // it makes requests of its own
			redact.Session(p.Config["refresh-token"], p.Config["id-token"], p.Config["client-secret"])
		}
	}
	context, err := choose(kubeconfig, c.Context)
	if err == nil {
		config, err = clientcmd.NewNonInteractiveClientConfig(*kubeconfig, context, nil, rules).ClientConfig()
	}
	switch {
	case err == nil:
		return config, kubeconfig, nil
	case context != "":
		err = fmt.Errorf("context %s: %w", context, err)
	case pod && len(kubeconfig.Contexts) == 0:
		err = fmt.Errorf("%w, and this is not a pod with a service account", err)
	}
	return nil, nil, fmt.Errorf("kubeconfig %s: %w", where, err)
}

// choice is what to write instead of a name that is not there.
func choice(name string, known []string) string {
	if near := sources.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "choose from " + strings.Join(known, ", ")
}

// choose returns the context to use.
func choose(kubeconfig *api.Config, wanted string) (string, error) {
	names := slices.Sorted(maps.Keys(kubeconfig.Contexts))
	switch {
	case wanted != "" && slices.Contains(names, wanted):
		return wanted, nil
	case len(names) == 0:
		return "", errors.New("the file does not exist, or has no context in it")
	case wanted != "":
		return "", fmt.Errorf("there is no context %q; %s", wanted, choice(wanted, names))
	case len(names) > 1:
		return "", fmt.Errorf("%w (%s)", ErrSeveral, strings.Join(names, ", "))
	}
	return names[0], nil
}
