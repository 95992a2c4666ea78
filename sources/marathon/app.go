package marathon

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	marathon "github.com/gambol99/go-marathon"
)

// app is what counts of an app in /v2/apps, in every form since Marathon 0.8.
// The types are go-marathon's, but where those are stricter than Marathon, or
// cannot tell what is missing from a zero.
type app struct {
	ID          string `json:"id"`
	Version     string `json:"version"`
	VersionInfo struct {
		LastConfigChangeAt string `json:"lastConfigChangeAt"`
	} `json:"versionInfo"`
	Instances    *int                       `json:"instances"`
	Labels       map[string]json.RawMessage `json:"labels"`
	HealthChecks []struct {
		IntervalSeconds float64 `json:"intervalSeconds"`
	} `json:"healthChecks"`
	Deployments   []json.RawMessage `json:"deployments"`
	Constraints   []json.RawMessage `json:"constraints"`
	KillSelection string            `json:"killSelection"`
	Tasks         *[]task           `json:"tasks"`

	ReadinessChecks []struct {
		TimeoutSeconds float64 `json:"timeoutSeconds"`
	} `json:"readinessChecks"`
	ReadinessCheckResults []marathon.ReadinessCheckResult `json:"readinessCheckResults"`

	// Since Marathon 1.5 networks say how containers are reached, and ports are
	// the container's. Before, both were Docker's, or an ipAddress was given.
	Networks        []network        `json:"networks"`
	Container       *container       `json:"container"`
	PortDefinitions []portDefinition `json:"portDefinitions"`
	Ports           []int            `json:"ports"`
	IPAddress       *ipAddress       `json:"ipAddress"`
}

type network struct {
	Name string                  `json:"name"`
	Mode marathon.PodNetworkMode `json:"mode"`
}

type container struct {
	PortMappings []portMapping `json:"portMappings"`
	Docker       *struct {
		Network      string        `json:"network"`
		PortMappings []portMapping `json:"portMappings"`
	} `json:"docker"`
}

type portDefinition struct {
	marathon.PortDefinition
	Labels json.RawMessage `json:"labels"`
}

type portMapping struct {
	marathon.PortMapping
	Labels   json.RawMessage `json:"labels"`
	HostPort *int            `json:"hostPort"` // nil: only the container has the port
}

type ipAddress struct {
	Discovery *struct {
		Ports []struct {
			Number   int    `json:"number"`
			Name     string `json:"name"`
			Protocol string `json:"protocol"`
		} `json:"ports"`
	} `json:"discovery"`
}

type task = marathon.Task

// old says whether a task runs an older definition than the app's. Scaling
// makes a new version of an app too, but not one that its tasks get.
func (a *app) old(t task) bool {
	current := a.VersionInfo.LastConfigChangeAt
	if current == "" {
		current = a.Version
	}
	changed, err := time.Parse(time.RFC3339, current)
	launched, err2 := time.Parse(time.RFC3339, t.Version)
	if err != nil || err2 != nil {
		return t.Version != "" && current != "" && t.Version != current
	}
	return launched.Before(changed)
}

// mode is how an app's containers are reached.
type mode int

const (
	host    mode = iota // they have ports of their agent
	bridge              // ports of their agent are mapped to theirs
	overlay             // each has an address; ports of its agent may be mapped too
)

func (a *app) mode() (mode, error) {
	const byDefault = marathon.ContainerNetworkMode
	isOverlay := func(n network) bool { return cmp.Or(n.Mode, byDefault) == marathon.ContainerNetworkMode }
	switch {
	case slices.ContainsFunc(a.Networks, isOverlay):
		return overlay, nil
	case len(a.Networks) > 0:
		switch m := a.Networks[0].Mode; m {
		case marathon.HostNetworkMode:
			return host, nil
		case marathon.BridgeNetworkMode:
			return bridge, nil
		default:
			return host, fmt.Errorf("its network mode %q is not host, container/bridge or container", m)
		}
	case a.IPAddress != nil:
		return overlay, nil
	case a.Container == nil || a.Container.Docker == nil:
		return host, nil
	}
	switch n := a.Container.Docker.Network; n {
	case "", "HOST", "NONE":
		return host, nil
	case "BRIDGE":
		return bridge, nil
	case "USER":
		return overlay, nil
	default:
		return host, fmt.Errorf("its Docker network %q is not HOST, BRIDGE or USER", n)
	}
}
