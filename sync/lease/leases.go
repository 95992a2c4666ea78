package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"nitrox/sources/httpapi"
	"nitrox/sources/kubeapi"
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

const apiVersion, kind = "coordination.k8s.io/v1", "Lease"

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
	cluster         *kubeapi.Cluster
	client          *kubeapi.Client // nil: to be connected
}

// dns is what names of namespaces and leases are made of.
var dns = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// parse reads NAMESPACE/NAME.
func parse(text string) (leases, error) {
	namespace, name, _ := strings.Cut(text, "/")
	if len(text) > 253 || !dns.MatchString(name) || !dns.MatchString(namespace) || strings.Contains(namespace, ".") {
		return leases{}, fmt.Errorf("%q is not the namespace and the name of a lease, such as nitrox/nitrox", text)
	}
	return leases{namespace: namespace, name: name, cluster: &kubeapi.Cluster{HTTP1: true}}, nil
}

// connect finds the cluster, unless that is known.
func (l *leases) connect() (err error) {
	if l.client == nil {
		l.client, err = l.cluster.Connect()
	}
	if errors.Is(err, kubeapi.ErrSeveral) {
		// Two replicas that ask two clusters would both lead.
		err = fmt.Errorf("%w; set $KUBECONFIG to a file that has one", err)
	}
	return err
}

func (l *leases) read(ctx context.Context) (*object, error) {
	return l.do(ctx, http.MethodGet, l.name, nil)
}

// write replaces the lease that was read as o, or makes a new one if o is nil.
func (l *leases) write(ctx context.Context, o *object, s spec) (*object, error) {
	next := object{APIVersion: apiVersion, Kind: kind, Spec: s}
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
	what := map[string]string{http.MethodGet: "read", http.MethodPut: "update", http.MethodPost: "create"}[method]
	got, err := l.exchange(ctx, method, name, send)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return got, nil
}

func (l *leases) exchange(ctx context.Context, method, name string, send *object) (*object, error) {
	if err := l.connect(); err != nil {
		return nil, err
	}
	var body []byte
	if send != nil {
		var err error
		if body, err = json.Marshal(send); err != nil {
			return nil, err
		}
	}
	where := l.client.URL("apis/coordination.k8s.io/v1/namespaces", l.namespace, "leases", name)
	host := l.client.Host()
	text, err := l.client.Do(ctx, method, where, body, maxBody)
	if refused(err, http.StatusUnauthorized) {
		l.client = nil // the credentials may have been renewed since
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	got, err := l.accept(text)
	if err == nil && send != nil && got.Spec.HolderIdentity != send.Spec.HolderIdentity {
		err = fmt.Errorf("the answer names %q as the holder, but %q was written", got.Spec.HolderIdentity, send.Spec.HolderIdentity)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	return got, nil
}

// accept reads an answer. What it does not say must not be taken for a lease that
// is free, or that may be updated whatever it has become: so without a version
// it is not an answer, nor without a spec, which of a lease that nobody has held yet
// the API server writes as {}.
func (l *leases) accept(text []byte) (*object, error) {
	var got struct {
		APIVersion string          `json:"apiVersion"`
		Kind       string          `json:"kind"`
		Metadata   json.RawMessage `json:"metadata"`
		Spec       *spec           `json:"spec"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	if got.Kind != kind || got.APIVersion != apiVersion {
		return nil, fmt.Errorf("the answer is not a Lease, but a %q of %q", got.Kind, got.APIVersion)
	}
	var metadata struct {
		Namespace       string `json:"namespace"`
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	}
	if len(got.Metadata) > 0 {
		if err := json.Unmarshal(got.Metadata, &metadata); err != nil {
			return nil, fmt.Errorf("the answer cannot be read: metadata: %w", err)
		}
	}
	switch {
	case metadata.Namespace != l.namespace || metadata.Name != l.name:
		return nil, fmt.Errorf("the answer is another Lease, %q in namespace %q", metadata.Name, metadata.Namespace)
	case metadata.ResourceVersion == "":
		return nil, errors.New("the answer is a Lease without a resourceVersion")
	case got.Spec == nil:
		return nil, errors.New("the answer is a Lease without a spec")
	}
	return &object{got.APIVersion, got.Kind, got.Metadata, *got.Spec}, nil
}

const (
	conflict = http.StatusConflict // it has changed, or it exists
	notFound = http.StatusNotFound // the lease, or its namespace
)

// refused says whether err is an answer with this code.
func refused(err error, code int) bool { return httpapi.HasCode(err, code) }
