package kubernetes

import (
	"fmt"
	"maps"
	"strings"
)

// What follows writes objects as their controllers do. Options change one.

type option func(manifest)

// with sets a field: with("spec.type", "LoadBalancer").
func with(path string, value any) option {
	return func(m manifest) {
		parts := strings.Split(path, ".")
		for _, p := range parts[:len(parts)-1] {
			if m[p] == nil {
				m[p] = manifest{}
			}
			m = m[p].(manifest)
		}
		m[parts[len(parts)-1]] = value
	}
}

func label(name, value string) option {
	return func(m manifest) {
		set := maps.Clone(map[string]string(m.labels()))
		if set == nil {
			set = map[string]string{}
		}
		set[name] = value
		m.meta()["labels"] = set
	}
}

func object(kind, name string, options []option, m manifest) manifest {
	m["kind"] = kind
	metadata := manifest{"name": name}
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		metadata = manifest{"name": rest, "namespace": namespace}
	}
	m["metadata"] = metadata
	for _, o := range options {
		o(m)
	}
	return m
}

// aService is a NodePort service with the port http, 80, at node port 31080.
func aService(name string, options ...option) manifest {
	return object("Service", name, options, manifest{
		"spec": manifest{"type": "NodePort", "clusterIP": "10.96.0.7", "selector": map[string]string{"app": "web", "tier": "front"},
			"externalTrafficPolicy": "Cluster", "ipFamilies": []string{"IPv4"},
			"ports": []manifest{{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 31080}}},
		"status": manifest{"loadBalancer": manifest{}}})
}

// port writes a port of a service; zero node ports are left out, as they are.
func port(name string, number, nodePort int, protocol string) manifest {
	m := manifest{"port": number, "protocol": protocol, "name": name}
	if nodePort != 0 {
		m["nodePort"] = nodePort
	}
	if name == "" {
		delete(m, "name")
	}
	return m
}

func ports(p ...manifest) option { return with("spec.ports", p) }

// aSlice is one of a service, with the port http at 8080.
func aSlice(service string, endpoints ...manifest) manifest {
	_, name, _ := strings.Cut(service, "/")
	slice := object("EndpointSlice", fmt.Sprintf("%s-%d", service, len(endpoints)), []option{label(serviceOf, name)}, manifest{
		"addressType": "IPv4", "ports": []manifest{{"name": "http", "protocol": "TCP", "port": 8080}}, "endpoints": endpoints})
	if len(endpoints) == 0 { // the controller's placeholder
		slice["ports"], slice["endpoints"] = nil, nil
	}
	return slice
}

func (m manifest) but(options ...option) manifest {
	for _, o := range options {
		o(m)
	}
	return m
}

// aPod in a slice is ready.
func aPod(name, address, node string) manifest {
	return manifest{"addresses": []string{address}, "nodeName": node,
		"conditions": manifest{"ready": true, "serving": true, "terminating": false},
		"targetRef":  manifest{"kind": "Pod", "name": name, "uid": "uid-of-" + name}}
}

// condition sets a pod's conditions: ready, serving, terminating.
func condition(ready, serving, terminating any) option {
	return with("conditions", manifest{"ready": ready, "serving": serving, "terminating": terminating})
}

var (
	unready     = condition(false, false, false)
	terminating = condition(false, true, true)
	dead        = condition(false, false, true)
)

// aNode is ready, with one address.
func aNode(name, address string, options ...option) manifest {
	return object("Node", name, append([]option{label(hostname, name)}, options...), manifest{"spec": manifest{}, "status": manifest{
		"addresses":  []manifest{{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}},
		"conditions": []manifest{{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}},
		"images":     []manifest{{"names": []string{"registry.example/web:1"}, "sizeBytes": 1 << 20}}}})
}

func nodeReady(status string) option {
	return with("status.conditions", []manifest{{"type": "Ready", "status": status}})
}

func addresses(typeAndAddress ...string) option {
	var list []manifest
	for i := 0; i < len(typeAndAddress); i += 2 {
		list = append(list, manifest{"type": typeAndAddress[i], "address": typeAndAddress[i+1]})
	}
	return with("status.addresses", list)
}

func taint(key, effect string) option {
	return with("spec.taints", []manifest{{"key": key, "effect": effect}})
}

// aRunning is the pod itself, published at a port of its host.
func aRunning(name, hostIP string, hostPort int, options ...option) manifest {
	published := manifest{"containerPort": 8080, "protocol": "TCP"}
	if hostPort != 0 {
		published["hostPort"] = hostPort
	}
	options = append([]option{with("metadata.uid", "uid-of-"+name[strings.Index(name, "/")+1:]), label("app", "web"), label("tier", "front")}, options...)
	return object("Pod", name, options, manifest{
		"spec":   manifest{"containers": []manifest{{"name": "sidecar"}, {"name": "web", "ports": []manifest{published}}}},
		"status": manifest{"phase": "Running", "hostIP": hostIP, "hostIPs": []manifest{{"ip": hostIP}}}})
}
