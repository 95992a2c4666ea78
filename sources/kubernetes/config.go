package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"nitrox/sources"
	"nitrox/sources/kubeapi"
	"nitrox/sources/trust"
)

// Config is a kubernetes source of the mapping.
type Config struct {
	// Kubeconfig names the file that says where the cluster is and who asks.
	// Default: inside a cluster the pod's service account, unless Context is
	// given; else the files of $KUBECONFIG, else ~/.kube/config.
	Kubeconfig sources.Path `yaml:"kubeconfig"`
	// Context is the context to use. It must be given if there are several:
	// a current-context is for people at a keyboard, and changes under a
	// program's feet.
	Context string `yaml:"context"`
	// CertificateSHA256 are the fingerprints of the only certificates to trust in
	// the API server, instead of what the kubeconfig says of that.
	CertificateSHA256 []trust.Fingerprint `yaml:"certificate_sha256"`
	// NodeAddress lists the types of node addresses that may be bound, the
	// best first: InternalIP (the default), ExternalIP.
	NodeAddress []AddressType `yaml:"node_address"`
	// NodeSelector restricts the nodes whose addresses are bound to those with
	// certain labels ("pool=edge", "pool in (edge, dmz)").
	NodeSelector string `yaml:"node_selector"`
	// IncludeExcludedNodes binds nodes also if their labels exclude them from load
	// balancers outside the cluster, for clusters whose every node has that label.
	IncludeExcludedNodes bool `yaml:"include_excluded_nodes"`
	// Events writes an Event on a service when members change, are held or fail.
	Events bool `yaml:"events"`
}

// AddressType is a type of node address that is an IP address. Kubernetes has
// also host names, which would have to be looked up.
type AddressType string

const (
	// InternalIP is the address by which the cluster's machines know the node.
	InternalIP AddressType = "InternalIP"
	// ExternalIP is the address by which others do, if the cloud gave it one.
	ExternalIP AddressType = "ExternalIP"
)

// Words implements [sources.Word].
func (AddressType) Words() []string { return []string{string(InternalIP), string(ExternalIP)} }

// Check implements [sources.Checker].
func (c Config) Check() error {
	var problems sources.Problems
	checkNodes(&problems, c.NodeAddress, c.NodeSelector)
	return problems.Err()
}

// checkNodes checks what a source and an entry can both say of nodes.
func checkNodes(problems *sources.Problems, types []AddressType, selector string) {
	for i, t := range types {
		key := fmt.Sprintf("node_address[%d]", i)
		switch {
		case t != InternalIP && t != ExternalIP:
			problems.Add(key, "%q is neither InternalIP nor ExternalIP (host names are not resolved)", t)
		case slices.Contains(types[:i], t):
			problems.Add(key, "%s is listed twice", t)
		}
	}
	if _, err := labels.Parse(selector); err != nil {
		problems.Add("node_selector", "this is not a label selector like pool=edge or pool in (edge, dmz): %w", err)
	}
}

// Warnings implements [sources.Warner].
func (c Config) Warnings() error {
	var problems sources.Problems
	cluster := kubeapi.Cluster{Kubeconfig: c.Kubeconfig, Context: c.Context, CertificateSHA256: c.CertificateSHA256}
	if err := cluster.Warning(); err != nil {
		problems.Add("kubeconfig", "%w", err)
	}
	problems.Expose("kubeconfig", c.Kubeconfig)
	return problems.Err()
}

// addressTypes are the node addresses to bind, the best first.
func (c Config) addressTypes() []AddressType {
	if len(c.NodeAddress) == 0 {
		return []AddressType{InternalIP}
	}
	return c.NodeAddress
}

// Query is a from entry of the mapping.
type Query struct {
	// Service is namespace/name.
	Service string `yaml:"service"`
	// Port is the name or the number of a port of the service (not that of the
	// pods), or the number and the protocol ("53/udp") where the service has the
	// number for several. It may be left out if the service has one.
	Port sources.Port `yaml:"port"`
	// Address says what is bound; default NodePort.
	Address Address `yaml:"address"`
	// Nodes says which nodes are bound by their node port; default WithPods.
	Nodes Nodes `yaml:"nodes"`
	// Family is that of the addresses. Default: the service's own, the first
	// if it has both.
	Family Family `yaml:"family"`
	// NodeAddress and NodeSelector take the place of the source's.
	NodeAddress  []AddressType `yaml:"node_address"`
	NodeSelector string        `yaml:"node_selector"`
	// Zone restricts the entry to nodes, or pods, of one zone, as the label
	// topology.kubernetes.io/zone has it.
	Zone string `yaml:"zone"`
}

// In implements [sources.Namespaced].
func (q Query) In(namespace string) bool { return strings.HasPrefix(q.Service, namespace+"/") }

// Address is where the members of a service group are.
type Address string

const (
	// NodePort: at the addresses of nodes, at the service's node port.
	NodePort Address = "node_port"
	// PodIP: at the addresses of pods, which the NetScaler must have routes to.
	PodIP Address = "pod_ip"
	// HostPort: at the addresses of nodes, at the host port of each pod.
	HostPort Address = "host_port"
	// LoadBalancer: at the addresses that the cluster's own load balancer has
	// given to the service.
	LoadBalancer Address = "load_balancer"
)

// Words implements [sources.Word].
func (Address) Words() []string {
	return []string{string(NodePort), string(PodIP), string(HostPort), string(LoadBalancer)}
}

// Nodes are the nodes that are bound by their node port.
type Nodes string

const (
	// WithPods: those on which ready pods of the service run.
	WithPods Nodes = "with_pods"
	// AllNodes: all that take traffic from outside, as long as one ready pod
	// runs anywhere. Where externalTrafficPolicy is Local the others would drop
	// the traffic; there it is the same as WithPods.
	AllNodes Nodes = "all"
)

// Words implements [sources.Word].
func (Nodes) Words() []string { return []string{string(WithPods), string(AllNodes)} }

// Family is a family of IP addresses.
type Family string

const (
	// IPv4 and IPv6 are the families that a service can have.
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// Words implements [sources.Word].
func (Family) Words() []string { return []string{string(IPv4), string(IPv6)} }

// Check implements [sources.Checker].
func (q Query) Check() error {
	var problems sources.Problems
	namespace, name, _ := strings.Cut(q.Service, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Label(name)) > 0 {
		problems.Add("service", "%q is not a namespace and the name of a service, such as shop/account", q.Service)
	}
	name, _ = q.Port.Cut()
	if n, ok := q.Port.Number(); ok && (n < 1 || n > 65535) {
		problems.Add("port", "%d is not a port number from 1 to 65535", n)
	} else if !ok && name != "" && len(validation.IsDNS1123Label(name)) > 0 {
		problems.Add("port", "%q is neither the number nor the name of a port of a service", name)
	}
	if q.Address != "" && !slices.Contains(q.Address.Words(), string(q.Address)) {
		problems.Add("address", "%q is not node_port, pod_ip, host_port or load_balancer", q.Address)
	}
	switch {
	case q.Nodes != "" && !slices.Contains(q.Nodes.Words(), string(q.Nodes)):
		problems.Add("nodes", "%q is neither with_pods nor all", q.Nodes)
	case q.Nodes != "" && q.address() != NodePort:
		problems.Add("nodes", "it only applies to address: node_port")
	}
	if q.Family != "" && !slices.Contains(q.Family.Words(), string(q.Family)) {
		problems.Add("family", "%q is neither ipv4 nor ipv6", q.Family)
	}
	checkNodes(&problems, q.NodeAddress, q.NodeSelector)
	for key, given := range map[string]bool{"node_address": len(q.NodeAddress) > 0, "node_selector": q.NodeSelector != ""} {
		if given && q.address() != NodePort && q.address() != HostPort {
			problems.Add(key, "it only applies to address: node_port or host_port")
		}
	}
	switch {
	case len(validation.IsValidLabelValue(q.Zone)) > 0:
		problems.Add("zone", "%q cannot be the name of a zone; see the nodes' label %s", q.Zone, zoneLabel)
	case q.Zone != "" && q.address() == LoadBalancer:
		problems.Add("zone", "a load balancer's addresses are in no zone")
	}
	return problems.Err()
}

// restricted says whether the entry wants some nodes only.
func (q Query) restricted() bool { return q.NodeSelector != "" || q.Zone != "" }

func (q Query) address() Address {
	if q.Address == "" {
		return NodePort
	}
	return q.Address
}

// key is the service's.
func (q Query) key() key {
	namespace, name, _ := strings.Cut(q.Service, "/")
	return key{namespace, name}
}

// key names an object.
type key struct{ namespace, name string }

func (k key) String() string { return k.namespace + "/" + k.name }
