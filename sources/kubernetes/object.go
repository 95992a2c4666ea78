package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nitrox/sources"
)

// The objects of the Kubernetes API, with the fields that are used. Their
// meaning is that of the API reference: discovery.k8s.io/v1 EndpointSlice, v1
// Service, Node and Pod.

// metadata is that of any object.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	Labels            map[string]string `json:"labels"`
	DeletionTimestamp *string           `json:"deletionTimestamp"`
}

// serviceOf is the label of a slice that names its service.
const serviceOf = "kubernetes.io/service-name"

type slice struct {
	Metadata    metadata    `json:"metadata"`
	AddressType string      `json:"addressType"`
	Ports       []slicePort `json:"ports"`
	Endpoints   []struct {
		Addresses  []string `json:"addresses"`
		Conditions struct {
			Ready       *bool `json:"ready"`
			Serving     *bool `json:"serving"`
			Terminating *bool `json:"terminating"`
		} `json:"conditions"`
		NodeName  string `json:"nodeName"`
		Zone      string `json:"zone"`
		TargetRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"targetRef"`
	} `json:"endpoints"`
}

type slicePort struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
}

type service struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Type                  string            `json:"type"`
		ClusterIP             string            `json:"clusterIP"`
		ClusterIPs            []string          `json:"clusterIPs"`
		Selector              map[string]string `json:"selector"`
		IPFamilies            []string          `json:"ipFamilies"`
		ExternalTrafficPolicy string            `json:"externalTrafficPolicy"`
		TrafficDistribution   string            `json:"trafficDistribution"`
		Ports                 []servicePort     `json:"ports"`
	} `json:"spec"`
	Status struct {
		LoadBalancer struct {
			Ingress []struct {
				IP       string `json:"ip"`
				Hostname string `json:"hostname"`
				Ports    []struct {
					Port     uint16 `json:"port"`
					Protocol string `json:"protocol"`
					Error    string `json:"error"`
				} `json:"ports"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

type servicePort struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	NodePort uint16 `json:"nodePort"`
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
	Metadata metadata `json:"metadata"`
	Spec     struct {
		ProviderID string `json:"providerID"`
		Taints     []struct {
			Key    string `json:"key"`
			Value  string `json:"value"`
			Effect string `json:"effect"`
		} `json:"taints"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
		Conditions []observed `json:"conditions"`
		NodeInfo   struct {
			KubeletVersion string `json:"kubeletVersion"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

type pod struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Containers     []container       `json:"containers"`
		InitContainers []container       `json:"initContainers"`
		NodeSelector   map[string]string `json:"nodeSelector"`
		HostNetwork    bool              `json:"hostNetwork"`
	} `json:"spec"`
	Status struct {
		HostIP  string `json:"hostIP"`
		HostIPs []struct {
			IP string `json:"ip"`
		} `json:"hostIPs"`
		Conditions []observed `json:"conditions"`
	} `json:"status"`
}

// observed is a condition of a node or a pod.
type observed struct {
	Type   string `json:"type"`
	Status string `json:"status"`
	Since  string `json:"lastTransitionTime"`
}

// readySince says in words since when one that has the conditions is ready, or is
// not; "": they do not tell.
func readySince(conditions []observed) string {
	for _, c := range conditions {
		if c.Type == "Ready" && c.Since != "" {
			word, known := map[string]string{"True": "ready", "False": "not ready"}[c.Status]
			if !known {
				word = "not heard from"
			}
			return word + " since " + sources.Excerpt(c.Since)
		}
	}
	return ""
}

type container struct {
	Ports []containerPort `json:"ports"`
}

type containerPort struct {
	Protocol      string `json:"protocol"`
	ContainerPort uint16 `json:"containerPort"`
	HostPort      uint16 `json:"hostPort"`
	HostIP        string `json:"hostIP"`
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

// readItem reads an object of a list.
func readItem[T any](raw []byte) (item T, bad *misread, err error) {
	wrong := json.Unmarshal(raw, &item)
	if wrong == nil {
		return item, nil, nil
	}
	var o struct {
		Metadata metadata `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &o); err != nil || o.Metadata.Name == "" {
		return item, nil, wrong // whose it is cannot be told
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(wrong, &mismatch) {
		wrong = fmt.Errorf("unexpected %s at %s", mismatch.Value, mismatch.Field)
	}
	return item, &misread{o.Metadata, wrong}, nil
}
