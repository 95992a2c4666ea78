package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nitrox/sources"
	"nitrox/sources/bounds"
)

// The objects of the Kubernetes API, with the fields that are used. Their
// meaning is that of the API reference: discovery.k8s.io/v1 EndpointSlice, v1
// Service, Node and Pod. The numbers are those that the fields have in Protocol
// Buffers: generated.proto beside each package of k8s.io/api, and beside
// k8s.io/apimachinery/pkg/apis/meta/v1.

// metadata is that of any object.
type metadata struct {
	Name              string            `json:"name" proto:"1"`
	Namespace         string            `json:"namespace" proto:"3"`
	UID               string            `json:"uid" proto:"5"`
	ResourceVersion   string            `json:"resourceVersion" proto:"6"` // of what a watch tells
	Labels            map[string]string `json:"labels" proto:"11"`
	DeletionTimestamp *moment           `json:"deletionTimestamp" proto:"9"`
}

// moment is a time, of which only matters that there is one.
type moment struct{}

func (*moment) UnmarshalText([]byte) error { return nil }

// serviceOf is the label of a slice that names its service.
const serviceOf = "kubernetes.io/service-name"

type slice struct {
	Metadata    metadata    `json:"metadata" proto:"1"`
	AddressType string      `json:"addressType" proto:"4"`
	Ports       []slicePort `json:"ports" proto:"3"`
	Endpoints   []struct {
		Addresses  []string `json:"addresses" proto:"1"`
		Conditions struct {
			Ready       *bool `json:"ready" proto:"1"`
			Serving     *bool `json:"serving" proto:"2"`
			Terminating *bool `json:"terminating" proto:"3"`
		} `json:"conditions" proto:"2"`
		NodeName  string `json:"nodeName" proto:"6"`
		Zone      string `json:"zone" proto:"7"`
		TargetRef struct {
			Kind string `json:"kind" proto:"1"`
			Name string `json:"name" proto:"3"`
			UID  string `json:"uid" proto:"4"`
		} `json:"targetRef" proto:"4"`
	} `json:"endpoints" proto:"2"`
}

type slicePort struct {
	Name     string `json:"name" proto:"1"`
	Protocol string `json:"protocol" proto:"2"`
	Port     uint16 `json:"port" proto:"3"`
}

type service struct {
	Metadata metadata `json:"metadata" proto:"1"`
	Spec     struct {
		Type                  string            `json:"type" proto:"4"`
		ClusterIP             string            `json:"clusterIP" proto:"3"`
		ClusterIPs            []string          `json:"clusterIPs" proto:"18"`
		Selector              map[string]string `json:"selector" proto:"2"`
		IPFamilies            []string          `json:"ipFamilies" proto:"19"`
		ExternalTrafficPolicy string            `json:"externalTrafficPolicy" proto:"11"`
		TrafficDistribution   string            `json:"trafficDistribution" proto:"23"`
		Ports                 []servicePort     `json:"ports" proto:"1"`
	} `json:"spec" proto:"2"`
	Status struct {
		LoadBalancer struct {
			Ingress []struct {
				IP       string `json:"ip" proto:"1"`
				Hostname string `json:"hostname" proto:"2"`
				Ports    []struct {
					Port     uint16 `json:"port" proto:"1"`
					Protocol string `json:"protocol" proto:"2"`
					Error    string `json:"error" proto:"3"`
				} `json:"ports" proto:"4"`
			} `json:"ingress" proto:"1"`
		} `json:"loadBalancer" proto:"1"`
	} `json:"status" proto:"3"`
}

type servicePort struct {
	Name     string `json:"name" proto:"1"`
	Protocol string `json:"protocol" proto:"2"`
	Port     uint16 `json:"port" proto:"3"`
	NodePort uint16 `json:"nodePort" proto:"5"`
}

// String is how the port is chosen: by its name, or else by its number and
// protocol.
func (p servicePort) String() string {
	number := fmt.Sprintf("%d/%s", p.Port, p.protocol())
	if p.Name == "" {
		return number
	}
	return p.Name + " (" + number + ")"
}

func (p servicePort) protocol() sources.Protocol {
	return sources.Protocol(strings.ToLower(protocol(p.Protocol)))
}

type node struct {
	Metadata metadata `json:"metadata" proto:"1"`
	Spec     struct {
		ProviderID string `json:"providerID" proto:"3"`
		Taints     []struct {
			Key    string `json:"key" proto:"1"`
			Value  string `json:"value" proto:"2"`
			Effect string `json:"effect" proto:"3"`
		} `json:"taints" proto:"5"`
	} `json:"spec" proto:"2"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type" proto:"1"`
			Address string `json:"address" proto:"2"`
		} `json:"addresses" proto:"5"`
		Conditions []observed `json:"conditions" proto:"4"`
		NodeInfo   struct {
			KubeletVersion string `json:"kubeletVersion" proto:"7"`
		} `json:"nodeInfo" proto:"7"`
	} `json:"status" proto:"3"`
}

type pod struct {
	Metadata metadata `json:"metadata" proto:"1"`
	Spec     struct {
		Containers     []container       `json:"containers" proto:"2"`
		InitContainers []container       `json:"initContainers" proto:"20"`
		NodeSelector   map[string]string `json:"nodeSelector" proto:"7"`
		HostNetwork    bool              `json:"hostNetwork" proto:"11"`
	} `json:"spec" proto:"2"`
	Status struct {
		HostIP  string `json:"hostIP" proto:"5"`
		HostIPs []struct {
			IP string `json:"ip" proto:"1"`
		} `json:"hostIPs" proto:"16"`
		Conditions []observed `json:"conditions" proto:"2"`
	} `json:"status" proto:"3"`
}

// observed is a condition of a node or a pod.
type observed struct {
	Type   string    `json:"type" proto:"1"`
	Status string    `json:"status" proto:"2"`
	Since  timestamp `json:"lastTransitionTime" proto:"4"`
}

// timestamp is a time as JSON has it; "": none. In Protocol Buffers it is a message.
type timestamp string

// readySince says in words since when one that has the conditions is ready, or is
// not; "": they do not tell.
func readySince(conditions []observed) string {
	for _, c := range conditions {
		if c.Type == "Ready" && c.Since != "" {
			word, known := map[string]string{"True": "ready", "False": "not ready"}[c.Status]
			if !known {
				word = "not heard from"
			}
			return word + " since " + sources.Excerpt(string(c.Since))
		}
	}
	return ""
}

type container struct {
	Ports []containerPort `json:"ports" proto:"6"`
}

type containerPort struct {
	Protocol      string `json:"protocol" proto:"4"`
	ContainerPort uint16 `json:"containerPort" proto:"3"`
	HostPort      uint16 `json:"hostPort" proto:"2"`
	HostIP        string `json:"hostIP" proto:"5"`
}

// virtual says how it is known that the pod's node is no machine, where nodes must
// not be read; see [node.virtual].
func (p pod) virtual() string {
	if p.Metadata.Labels["eks.amazonaws.com/fargate-profile"] != "" {
		return "the pod's label eks.amazonaws.com/fargate-profile"
	}
	if label := virtualLabel(p.Spec.NodeSelector); label != "" {
		return "the pod's node selector " + label
	}
	return ""
}

// hostIPs are the addresses of the pod's node, one of each family. Clusters
// before 1.28 know only the first.
func (p pod) hostIPs() []string {
	var all []string
	for _, ip := range p.Status.HostIPs {
		all = append(all, ip.IP)
	}
	if len(all) == 0 && p.Status.HostIP != "" {
		all = []string{p.Status.HostIP}
	}
	return all
}

// protocol of a port; the default is TCP.
func protocol(name string) string {
	if name == "" {
		return "TCP"
	}
	return name
}

// ready is the node's condition Ready: True, False, or Unknown when its kubelet
// has not been heard from for a while.
func (n node) ready() string {
	for _, c := range n.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status
		}
	}
	return "Unknown"
}

// Labels of nodes.
const (
	zoneLabel     = "topology.kubernetes.io/zone"
	computeLabel  = "eks.amazonaws.com/compute-type"
	virtualTaint  = "virtual-kubelet.io/provider"
	excludeLabel  = "node.kubernetes.io/exclude-from-external-load-balancers"
	excludeBefore = "alpha.service-controller.kubernetes.io/exclude-balancer" // before Kubernetes 1.16
)

func (n node) zone() string { return n.Metadata.Labels[zoneLabel] }

// addresses are all IP addresses of the node, of any type.
func (n node) addresses() []string {
	var all []string
	for _, a := range n.Status.Addresses {
		all = append(all, a.Address)
	}
	return all
}

// virtualLabel is the one of labels that only nodes have that are no machines.
func virtualLabel(labels map[string]string) string {
	for _, label := range []string{"type=virtual-kubelet", "type=kwok", computeLabel + "=fargate", "liqo.io/type=virtual-node",
		"vcluster.loft.sh/fake-node=true",
		"node.kubernetes.io/instance-type=virtual-kubelet", "beta.kubernetes.io/instance-type=virtual-kubelet",
		"node.kubernetes.io/instance-type=eklet", "beta.kubernetes.io/instance-type=eklet"} {
		if key, value, _ := strings.Cut(label, "="); labels[key] == value {
			return label
		}
	}
	return ""
}

// virtual says how it is known that the node is no machine: what runs there is
// somewhere in a cloud, and no kube-proxy answers at the node's address. "": it
// is one.
func (n node) virtual() string {
	if label := virtualLabel(n.Metadata.Labels); label != "" {
		return "label " + label
	}
	switch version := n.Status.NodeInfo.KubeletVersion; {
	case strings.Contains(version, "-vk-"):
		return "kubelet " + sources.Excerpt(version)
	case strings.Contains(n.Spec.ProviderID, "/fargate-"), strings.Contains(n.Spec.ProviderID, "virtual-kubelet"):
		return "provider ID " + sources.Excerpt(n.Spec.ProviderID)
	}
	for _, t := range n.Spec.Taints {
		if t.Key == virtualTaint || t.Key == computeLabel && t.Value == "fargate" {
			return "taint " + t.Key
		}
	}
	return ""
}

// excluding is the label that keeps load balancers outside the cluster from the
// node; "": none does. A label's mere presence counts, as for the cloud providers'
// load balancers, but not if it says false.
func (n node) excluding() string {
	for _, label := range []string{excludeLabel, excludeBefore} {
		if value, ok := n.Metadata.Labels[label]; ok {
			if no, err := strconv.ParseBool(value); err != nil || no {
				return label
			}
		}
	}
	return ""
}

// leaving says why the node is about to go; "" if it stays. A cordoned node
// stays: its pods still serve.
func (n node) leaving() string {
	if n.Metadata.DeletionTimestamp != nil {
		return "being deleted"
	}
	for _, t := range n.Spec.Taints {
		switch t.Key {
		case "karpenter.sh/disrupted", "karpenter.sh/disruption": // the latter before Karpenter 1.0
			if t.Effect != "NoSchedule" {
				continue
			}
			fallthrough
		case "ToBeDeletedByClusterAutoscaler":
			return "about to be removed (taint " + t.Key + ")"
		}
	}
	return n.down()
}

// down says how it is known that the node's machine does not run, whatever has
// been heard from its kubelet; "": it is not.
func (n node) down() string {
	for _, t := range n.Spec.Taints {
		if t.Key == "node.cloudprovider.kubernetes.io/shutdown" || t.Key == "node.kubernetes.io/out-of-service" {
			return "shut down (taint " + t.Key + ")"
		}
	}
	return ""
}

// misread is an object of a list that cannot be read, but says what it is.
type misread struct {
	meta metadata
	err  error
}

// readItem reads an object of a list, of which head has at least the metadata.
func readItem[T any](raw, head []byte, unmarshal func([]byte, any) error) (item T, bad *misread, err error) {
	wrong := unmarshal(raw, &item)
	if wrong == nil || errors.Is(wrong, bounds.ErrTooLarge) {
		return item, nil, wrong
	}
	var o struct {
		Metadata metadata `json:"metadata" proto:"1"`
	}
	if err := unmarshal(head, &o); err != nil || o.Metadata.Name == "" {
		return item, nil, wrong // whose it is cannot be told
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(wrong, &mismatch) {
		wrong = fmt.Errorf("unexpected %s at %s", mismatch.Value, mismatch.Field)
	}
	return item, &misread{o.Metadata, wrong}, nil
}
