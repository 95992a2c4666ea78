package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// String is how the port is chosen: by its name, or else by its number.
func (p servicePort) String() string {
	if p.Name == "" {
		return strconv.Itoa(int(p.Port))
	}
	return p.Name + " (" + strconv.Itoa(int(p.Port)) + ")"
}

type node struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Taints []struct {
			Key    string `json:"key"`
			Effect string `json:"effect"`
		} `json:"taints"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

type pod struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		HostIP  string `json:"hostIP"`
		HostIPs []struct {
			IP string `json:"ip"`
		} `json:"hostIPs"`
	} `json:"status"`
}

type container struct {
	Ports []struct {
		Protocol      string `json:"protocol"`
		ContainerPort uint16 `json:"containerPort"`
		HostPort      uint16 `json:"hostPort"`
		HostIP        string `json:"hostIP"`
	} `json:"ports"`
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

// excluded says why the node must not get traffic from outside, other than for
// not being ready; "" if it may. A cordoned node may: its pods still serve.
func (n node) excluded() string {
	if n.Metadata.DeletionTimestamp != nil {
		return "being deleted"
	}
	// The label's mere presence counts, as for the cloud providers' load
	// balancers, but not if it says false.
	const label = "node.kubernetes.io/exclude-from-external-load-balancers"
	if value, ok := n.Metadata.Labels[label]; ok {
		if no, err := strconv.ParseBool(value); err != nil || no {
			return "labelled " + strings.TrimPrefix(label, "node.kubernetes.io/")
		}
	}
	for _, t := range n.Spec.Taints {
		if t.Key == "ToBeDeletedByClusterAutoscaler" || t.Key == "karpenter.sh/disrupted" && t.Effect == "NoSchedule" {
			return "about to be removed (taint " + t.Key + ")"
		}
	}
	return ""
}

// misread is an object of a list that cannot be read, but says what it is.
type misread struct {
	meta metadata
	err  error
}

// readItems reads the objects of a list one by one.
func readItems[T any](raw []json.RawMessage) (items []T, bad []misread, err error) {
	for _, r := range raw {
		var item T
		itemErr := json.Unmarshal(r, &item)
		if itemErr == nil {
			items = append(items, item)
			continue
		}
		var o struct {
			Metadata metadata `json:"metadata"`
		}
		if err := json.Unmarshal(r, &o); err != nil || o.Metadata.Name == "" {
			return nil, nil, itemErr // whose it is cannot be told
		}
		var wrong *json.UnmarshalTypeError
		if errors.As(itemErr, &wrong) {
			itemErr = fmt.Errorf("unexpected %s at %s", wrong.Value, wrong.Field)
		}
		bad = append(bad, misread{o.Metadata, itemErr})
	}
	return items, bad, nil
}
