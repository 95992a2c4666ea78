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
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
	"nitrox/sources/nearest"
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

// Warning is about a kubeconfig that tells not to verify the API server's
// certificate, where nothing else does; nil: there is nothing to warn of.
func (c *Cluster) Warning() error {
	config, _, err := c.load()
	if err != nil || !config.Insecure || len(c.CertificateSHA256) > 0 {
		return nil // what is wrong with it is told by whoever connects
	}
	return errors.New("its insecure-skip-tls-verify lets anyone between here and the API server read the credentials and change the answers; use certificate-authority")
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
	if err != nil && strings.Contains(err.Error(), "couldn't get version/kind") {
		return nil, nil, fmt.Errorf("kubeconfig %s: it is not a kubeconfig; is it the right file?", where)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	for _, cluster := range kubeconfig.Clusters {
		redact.URL(cluster.ProxyURL)
		redact.URL(cluster.Server)
	}
	for _, user := range kubeconfig.AuthInfos {
		redact.Keep(string(user.ClientKeyData))
		redact.Session(user.Token)
		redact.Keep(user.Password)
		redact.Keep(pluginSecrets(user.Exec)...)
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
		err = fmt.Errorf("%w, and this is not a pod with a service account; name a kubeconfig with a context", err)
	}
	return nil, nil, fmt.Errorf("kubeconfig %s: %w", where, err)
}

// secretName is what the variable or the option of a credential plug-in is called
// that takes a secret.
var secretName = regexp.MustCompile(`(?i)pass|pwd|secret|token|key`)

// pluginSecrets are those that a kubeconfig gives to a credential plug-in, which may
// repeat them.
func pluginSecrets(exec *api.ExecConfig) (all []string) {
	if exec == nil {
		return nil
	}
	for _, v := range exec.Env {
		if secretName.MatchString(v.Name) {
			all = append(all, v.Value)
		}
	}
	for _, arg := range exec.Args {
		if name, value, _ := strings.Cut(arg, "="); secretName.MatchString(name) {
			all = append(all, value)
		}
	}
	return all
}

// choose returns the context to use.
func choose(kubeconfig *api.Config, wanted string) (string, error) {
	names := slices.Sorted(maps.Keys(kubeconfig.Contexts))
	switch {
	case wanted != "" && slices.Contains(names, wanted):
		return wanted, whole(kubeconfig, wanted)
	case len(names) == 0:
		return "", errors.New("the file does not exist, or has no context in it")
	case wanted != "":
		return "", fmt.Errorf("there is no context %q%s", wanted, nearest.Choose(wanted, names))
	case len(names) > 1:
		return "", fmt.Errorf("%w (%s)", ErrSeveral, strings.Join(names, ", "))
	}
	return names[0], whole(kubeconfig, names[0])
}

// whole is an error if what a context names is not there. Without its user
// client-go would ask as nobody.
func whole(kubeconfig *api.Config, context string) error {
	c := kubeconfig.Contexts[context]
	switch {
	case len(kubeconfig.Clusters) == 0:
		return errors.New("the file has no clusters; is it whole?")
	case kubeconfig.Clusters[c.Cluster] == nil:
		return fmt.Errorf("there is no cluster %q%s", c.Cluster, nearest.Choose(c.Cluster, slices.Sorted(maps.Keys(kubeconfig.Clusters))))
	case c.AuthInfo == "" || kubeconfig.AuthInfos[c.AuthInfo] != nil:
		return nil
	case len(kubeconfig.AuthInfos) == 0:
		return errors.New("the file has no users; is it whole?")
	}
	return fmt.Errorf("there is no user %q%s", c.AuthInfo, nearest.Choose(c.AuthInfo, slices.Sorted(maps.Keys(kubeconfig.AuthInfos))))
}
