package kubernetes

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
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// client makes requests to one API server. There is neither a limit of requests
// per second nor a retry in it, unlike in the clients of client-go.
type client struct {
	http    *http.Client
	base    *url.URL
	maxBody int64
	// tokenFile, if any, is read for each request. client-go would keep what
	// was in it for a minute, even when it is refused.
	tokenFile string
	// kubeconfig is what it was made from; nil: a pod's service account.
	kubeconfig *api.Config

	mu        sync.Mutex
	forbidden time.Time // when the cluster-wide lists were
	known     nodeView  // all nodes of a large cluster; not changed any more
	read      time.Time // when these were read
	size      int       // how many there were, if more than fit in a page
}

// connect returns the client to use now. The kubeconfig is read each time, for
// whatever renews credentials writes it anew; connections, and what a credential
// plug-in has told, are kept while it stays the same.
func (s *Source) connect() (*client, error) {
	config, kubeconfig, err := s.load()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil && reflect.DeepEqual(s.client.kubeconfig, kubeconfig) {
		return s.client, nil
	}
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	c.kubeconfig, c.maxBody = kubeconfig, s.maxBody
	s.client = c
	return c, nil
}

func newClient(config *rest.Config) (*client, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "nitrox"
	config.Timeout = 0 // the context has it
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	// Credentials are added to every request, also to one that a redirect has
	// sent to another host.
	own := *h
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{http: &own, base: base, tokenFile: config.BearerTokenFile}, nil
}

// authorize adds the token of a file to a request. Other credentials are added
// on the way; client-go leaves alone what is there.
func (c *client) authorize(request *http.Request) error {
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

// load finds out where the cluster is and who asks. kubeconfig is nil for a
// pod's service account.
func (s *Source) load() (config *rest.Config, kubeconfig *api.Config, err error) {
	if s.config.Kubeconfig == "" && s.config.Context == "" {
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
	if s.config.Kubeconfig != "" {
		rules.ExplicitPath = string(s.config.Kubeconfig)
		where = rules.ExplicitPath
	}
	raw, err := rules.Load()
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	context, err := choose(raw, s.config.Context)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig %s: %w", where, err)
	}
	config, err = clientcmd.NewNonInteractiveClientConfig(*raw, context, nil, rules).ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig %s: context %s: %w", where, context, err)
	}
	return config, raw, nil
}

// choose returns the context to use.
func choose(kubeconfig *api.Config, wanted string) (string, error) {
	names := slices.Sorted(maps.Keys(kubeconfig.Contexts))
	switch {
	case wanted != "" && !slices.Contains(names, wanted):
		return "", fmt.Errorf("there is no context %q; there are %s", wanted, orNone(names))
	case wanted != "":
		return wanted, nil
	case len(names) == 0:
		return "", errors.New("there is no such file, or no context in it")
	case len(names) > 1:
		return "", fmt.Errorf("it has several contexts: say with context which one, %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
