package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// object is what Nitrox reads and writes of a Lease (Kubernetes API reference,
// Lease v1 coordination.k8s.io). The metadata goes back as it came: in it is the
// version by which the API server refuses to update what has changed.
type object struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
	Spec       spec            `json:"spec"`
}

// spec is comparable: two that differ show that the holder lives.
type spec struct {
	HolderIdentity       string `json:"holderIdentity"`
	LeaseDurationSeconds int    `json:"leaseDurationSeconds"`
	AcquireTime          string `json:"acquireTime,omitempty"`
	RenewTime            string `json:"renewTime,omitempty"`
	LeaseTransitions     int    `json:"leaseTransitions"`
}

// moment is a time as the API writes it. It is for people, and to be different
// with each renewal.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// leases is the door to one lease of a cluster.
type leases struct {
	namespace, name string
	// connect finds the cluster and makes a client of it.
	connect func() (*http.Client, *url.URL, error)
	http    *http.Client // nil: to be made
	base    *url.URL
}

// dns is what names of namespaces and leases are made of.
var dns = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// parse reads NAMESPACE/NAME.
func parse(text string) (leases, error) {
	namespace, name, _ := strings.Cut(text, "/")
	if len(text) > 253 || !dns.MatchString(name) || !dns.MatchString(namespace) || strings.Contains(namespace, ".") {
		return leases{}, fmt.Errorf("%q is not the namespace and the name of a lease, such as nitrox/nitrox", text)
	}
	return leases{namespace: namespace, name: name, connect: connect}, nil
}

// connect finds the cluster, and the credentials to use.
func connect() (*http.Client, *url.URL, error) {
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) || errors.Is(err, fs.ErrNotExist) {
		config, err = fromKubeconfig()
	}
	if err != nil {
		return nil, nil, err
	}
	config.UserAgent = "nitrox"
	// A connection of HTTP/2 whose other end is gone would be given up after 45
	// seconds, and each renewal would be tried on it until then. Of HTTP/1.1 a
	// request that fails takes its connection with it.
	config.NextProtos = []string{"http/1.1"}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	// Credentials are added to every request, also to one that a redirect has
	// sent to another host.
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own, base, nil
}

func fromKubeconfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.MigrationRules = nil // they would move files of versions long past
	rules.WarnIfAllMissing = false
	where := strings.Join(rules.GetLoadingPrecedence(), string(os.PathListSeparator))
	kubeconfig, err := rules.Load()
	switch {
	case err != nil:
		return nil, fmt.Errorf("kubeconfig: %w", err)
	case len(kubeconfig.Contexts) == 0:
		return nil, fmt.Errorf("this is no pod with a service account, and kubeconfig %s is not there or has no context", where)
	case len(kubeconfig.Contexts) > 1:
		// A current-context is for people at a keyboard: it changes under a
		// program's feet, and two replicas that ask two clusters both lead.
		return nil, fmt.Errorf("kubeconfig %s has several contexts; say by $KUBECONFIG a file that has one", where)
	}
	var context string
	for context = range kubeconfig.Contexts {
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*kubeconfig, context, nil, rules).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: context %s: %w", where, context, err)
	}
	return config, nil
}

// open makes the client, unless there is one.
func (l *leases) open() (err error) {
	if l.http == nil {
		l.http, l.base, err = l.connect()
	}
	return err
}

func (l *leases) read(ctx context.Context) (*object, error) {
	return l.do(ctx, http.MethodGet, l.name, nil)
}

// write replaces the lease that was read as o, or makes a new one if o is nil.
func (l *leases) write(ctx context.Context, o *object, s spec) (*object, error) {
	next := object{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Spec: s}
	if o != nil {
		next.Metadata = o.Metadata
		return l.do(ctx, http.MethodPut, l.name, &next)
	}
	metadata, err := json.Marshal(map[string]string{"namespace": l.namespace, "name": l.name})
	if err != nil {
		return nil, err
	}
	next.Metadata = metadata
	return l.do(ctx, http.MethodPost, "", &next)
}

// maxBody bounds an answer. A lease takes about one kilobyte.
const maxBody = 1 << 20

func (l *leases) do(ctx context.Context, method, name string, send *object) (*object, error) {
	if err := l.open(); err != nil {
		return nil, err
	}
	what := map[string]string{http.MethodGet: "read", http.MethodPut: "update", http.MethodPost: "create"}[method]
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		body = bytes.NewReader(text)
	}
	where := l.base.JoinPath("apis/coordination.k8s.io/v1/namespaces", l.namespace, "leases", name)
	request, err := http.NewRequestWithContext(ctx, method, where.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	request.Header.Set("Accept", "application/json")
	if send != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := l.http.Do(request)
	var trouble *url.Error
	if errors.As(err, &trouble) {
		err = fmt.Errorf("%s: %w", l.base.Host, trouble.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated {
		if answer.StatusCode == http.StatusUnauthorized {
			l.http = nil // the credentials may have been renewed since
		}
		var status struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(text, &status) != nil || status.Message == "" {
			status.Message = answer.Status // not the API server's answer, but perhaps a proxy's
		}
		return nil, fmt.Errorf("%s: %w", what, &refusal{answer.StatusCode, status.Message})
	}
	o := new(object)
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("%s: the answer cannot be read: %w", what, err)
	}
	if o.Kind != "Lease" || len(o.Metadata) == 0 {
		return nil, fmt.Errorf("%s: the answer is not a Lease, but %q", what, o.Kind)
	}
	return o, nil
}

// refusal is an answer that is an error.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string { return fmt.Sprintf("HTTP %d: %s", r.code, r.message) }

const (
	conflict = http.StatusConflict // it has changed, or it exists
	notFound = http.StatusNotFound // the lease, or its namespace
)

// refused says whether err is an answer with this code.
func refused(err error, code int) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == code
}
