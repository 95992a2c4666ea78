package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/nearest"
)

// Docker Compose, also of versions that ran on a classic Swarm, writes these
// labels on its containers.
const (
	composePrefix  = "com.docker.compose."
	composeService = composePrefix + "service"
	composeProject = composePrefix + "project"
	composeNumber  = composePrefix + "container-number"
	composeOneOff  = composePrefix + "oneoff"
)

// The swarm writes these on the containers of its tasks.
const (
	swarmPrefix    = "com.docker.swarm."
	swarmTask      = swarmPrefix + "task.id"
	swarmService   = swarmPrefix + "service.name"
	swarmServiceID = swarmPrefix + "service.id"
)

// containers are the containers of an engine or a classic Swarm that queries
// ask for, by label (key=value).
type containers struct {
	byLabel map[string][]container.Summary
	bad     map[string][]error
	images  map[string]image // of the containers, by ID
	// seen are all labels of the keys that queries name, with the Compose
	// projects in which they are.
	seen map[string]map[string]bool
}

// readContainers lists containers, also those that do not run: on a classic Swarm
// this is what shows those of an engine that is not reached, and everywhere it
// tells an app that is stopped from one that does not exist. All are listed where
// queries name many labels, or have none, to tell what may be meant.
func readContainers(ctx context.Context, c *connection, queries []Query) (*containers, error) {
	wanted := make(map[string]bool)
	for _, q := range queries {
		label, _ := q.label()
		wanted[label] = true
	}
	all := &containers{byLabel: make(map[string][]container.Summary), bad: make(map[string][]error)}
	requests, few := filtered("label", slices.Sorted(maps.Keys(wanted)))
	var err error
	for _, filter := range requests {
		if few && err == nil {
			err = all.list(ctx, c, filter, filter["label"])
		}
	}
	if !few || refused(err) || err == nil && slices.ContainsFunc(queries, all.lacks) {
		all = &containers{byLabel: make(map[string][]container.Summary), bad: make(map[string][]error), seen: make(map[string]map[string]bool)}
		var filter client.Filters
		if key := onlyKey(queries); key != "" {
			filter = make(client.Filters).Add("label", key)
		}
		err = all.list(ctx, c, filter, wanted)
	}
	if err != nil {
		return nil, err
	}
	all.images, err = c.images.read(ctx, c, all.byLabel)
	return all, err
}

// lacks says whether no container may be a query's.
func (all *containers) lacks(q Query) bool {
	label, project := q.label()
	return len(all.bad[label]) == 0 && !slices.ContainsFunc(all.byLabel[label], func(c container.Summary) bool {
		return project == "" || c.Labels[composeProject] == project
	})
}

// list adds the containers that have wanted labels.
func (all *containers) list(ctx context.Context, c *connection, filter client.Filters, wanted map[string]bool) error {
	keys := make(map[string]bool)
	for label := range wanted {
		key, _, _ := strings.Cut(label, "=")
		keys[key] = true
	}
	const most = 10_000 // suggestions need no more
	ours := func(c container.Summary) bool {
		yes := c.ID == ""
		for key, value := range c.Labels {
			label := key + "=" + value
			yes = yes || wanted[label]
			if all.seen != nil && keys[key] && len(all.seen) < most {
				if all.seen[label] == nil {
					all.seen[label] = make(map[string]bool)
				}
				if project := c.Labels[composeProject]; project != "" {
					all.seen[label][project] = true
				}
			}
		}
		return yes
	}
	list, bad, err := listContainers(ctx, c, filter, ours)
	if err != nil {
		return err
	}
	for _, b := range bad {
		for key, value := range b.Labels {
			if label := key + "=" + value; wanted[label] {
				all.bad[label] = append(all.bad[label], fmt.Errorf("%s cannot be read: %w", containerName(b.Summary), b.err))
			}
		}
	}
	for _, c := range list {
		for key, value := range c.Labels {
			if label := key + "=" + value; wanted[label] {
				all.byLabel[label] = append(all.byLabel[label], c)
			}
		}
	}
	return nil
}

// unread is a container that cannot be read, but for its ID, its names and its labels.
type unread struct {
	container.Summary
	err error
}

// listContainers reads a list of containers, also of those that do not run.
func listContainers(ctx context.Context, c *connection, filter client.Filters, wanted func(container.Summary) bool) (
	list []container.Summary, bad []unread, err error) {
	list, misread, err := readList(ctx, bounds.Of[container.Summary](), wanted, func(ctx context.Context) error {
		_, err := c.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for _, m := range misread {
		var known struct {
			ID     string `json:"Id"`
			Names  []string
			Labels map[string]string
		}
		if json.Unmarshal(m.raw, &known) != nil || known.ID == "" {
			return nil, nil, fmt.Errorf("a container cannot be read, not even its labels: %w", m.err)
		}
		bad = append(bad, unread{container.Summary{ID: known.ID, Names: known.Names, Labels: known.Labels}, m.err})
	}
	if slices.ContainsFunc(list, func(c container.Summary) bool { return c.ID == "" }) {
		return nil, nil, errors.New("the list of containers has one without an ID")
	}
	return list, bad, nil
}

// label is the label that a query asks for on containers, and the project that
// a Compose service must be of, if one is named.
func (q Query) label() (label, project string) {
	if q.Label != "" {
		return q.Label, ""
	}
	project, service, ok := strings.Cut(q.Service, "/")
	if !ok {
		project, service = "", q.Service
	}
	return composeService + "=" + service, project
}

// onlyKey is the key of the labels of all queries, if that is one.
func onlyKey(queries []Query) string {
	only := ""
	for _, q := range queries {
		label, _ := q.label()
		key, _, _ := strings.Cut(label, "=")
		if only != "" && only != key {
			return ""
		}
		only = key
	}
	return only
}

// published says how a port that is published on all addresses is reached.
type published struct {
	wildcard netip.Addr // invalid: not known
	remedy   string
}

func (all *containers) answer(a *sources.Finding, q Query, p published) {
	label, project := q.label()
	for _, err := range all.bad[label] {
		a.Doubt(err)
	}
	var list []container.Summary
	var projects []string
	apart := 0
	for _, c := range all.byLabel[label] {
		if project != "" && c.Labels[composeProject] != project {
			continue
		}
		if why := lookalike(q, c, all.images[imageOf(c)].labels); why != "" {
			a.Leave(containerName(c), why)
			apart++
			continue
		}
		list = append(list, c)
		if name := c.Labels[composeProject]; q.Service != "" && !slices.Contains(projects, name) {
			projects = append(projects, name)
		}
	}
	switch {
	case len(projects) > 1:
		slices.Sort(projects)
		a.Doubt(fmt.Errorf("%v: the projects %s each have one; write project/service", q, strings.Join(projects, ", ")))
		return
	case len(list) == 0 && len(all.bad[label]) == 0:
		a.Doubt(all.missing(q, label, project, apart))
		return
	}
	for _, c := range list {
		name := containerName(c)
		if why := notServing(c); why != "" {
			addr, _, _, _ := containerAddr(c, q.Port, p) // none of one that has stopped
			a.LeaveAt(addr, name, why)
			continue
		}
		unread := ""
		if err := all.images[imageOf(c)].err; err != nil {
			unread = "its image's labels are not known"
			a.Doubt(fmt.Errorf("%s: it is not known whether the label is its own or its image's: %w", name, err))
		}
		addr, protocol, why, err := containerAddr(c, q.Port, p)
		switch {
		case err != nil:
			a.Doubt(fmt.Errorf("%s: %w", name, err))
		case why != "":
			a.Leave(name, why)
		default:
			a.Add(sources.Endpoint{Addr: addr, Protocol: protocol, Uncertain: cmp.Or(uncertain(c), unread), Origin: name, Facts: sources.Excerpt(c.Status)})
		}
	}
}

// missing says that no container is of a query, apart from some that were left
// out.
func (all *containers) missing(q Query, label, project string, apart int) error {
	leftOut := func(what, name string) error {
		return fmt.Errorf("%w, apart from %s left out", sources.Absent(what, name, nil), sources.Count(apart, "container"))
	}
	switch {
	case apart > 0 && q.Label != "":
		return leftOut("container with the label", label)
	case apart > 0:
		return leftOut("container of the Compose service", q.Service)
	case q.Label != "":
		return sources.Absent("container with the label", label, slices.Sorted(maps.Keys(all.seen)))
	}
	like := func(a, b string) bool { return a == b || nearest.Name(a, []string{b}) != "" }
	var known []string
	for text, projects := range all.seen {
		if service, ok := strings.CutPrefix(text, composeService+"="); ok {
			if project == "" {
				known = append(known, service)
			}
			for name := range projects {
				if project == "" || like(project, name) && like(strings.TrimPrefix(q.Service, project+"/"), service) {
					known = append(known, name+"/"+service)
				}
			}
		}
	}
	slices.Sort(known)
	return sources.Absent("container of the Compose service", q.Service, known)
}

// containerName is "container web" or, in a classic Swarm, which puts the
// engine in front of all names, "container web on node-1".
func containerName(c container.Summary) string {
	if len(c.Names) == 0 {
		return "container " + c.ID[:min(12, len(c.ID))]
	}
	// Further names are those that links gave it.
	name := strings.TrimPrefix(slices.MinFunc(c.Names, func(x, y string) int {
		return cmp.Compare(strings.Count(x, "/"), strings.Count(y, "/"))
	}), "/")
	if node, name, ok := strings.Cut(name, "/"); ok {
		return fmt.Sprintf("container %s on %s", name, node)
	}
	return "container " + name
}

// healthText is how an engine writes a container's health behind its status:
// "Up 5 minutes (healthy)". Engines before API 1.52 give it nowhere else in a
// list.
var healthText = regexp.MustCompile(`\((healthy|unhealthy|health: starting)\)`)

// notServing says why a container accepts no traffic; "" if it does, or did
// when its engine was last heard from.
func notServing(c container.Summary) string {
	state := string(c.State)
	if state == "" {
		// API 1.22, that of old classic Swarms, has only the text.
		state = "not running: " + c.Status
		if strings.HasPrefix(c.Status, "Up ") || hostDown(c) {
			state = "running"
		}
	}
	switch {
	case strings.Contains(c.Status, "(Paused)"):
		return "paused"
	case state != "running":
		return state
	}
	var health string
	if c.Health != nil {
		health = string(c.Health.Status)
	} else if m := healthText.FindStringSubmatch(c.Status); m != nil {
		health = m[1]
	}
	switch health {
	case "unhealthy":
		return "unhealthy"
	case "starting", "health: starting":
		return "its health check has not passed yet"
	}
	return ""
}

// hostDown says whether a classic Swarm has lost the container's engine; its
// state is then the last that is known.
func hostDown(c container.Summary) bool { return strings.HasPrefix(c.Status, "Host Down") }

func uncertain(c container.Summary) string {
	if hostDown(c) {
		return "its engine does not answer the Swarm"
	}
	return ""
}

// containerAddr is where a container's port is reached, and what it speaks. why says that it is
// reached from nowhere else than its own host; an error, that this is unknown.
func containerAddr(c container.Summary, wanted sources.Port, p published) (addr netip.AddrPort, protocol sources.Protocol, why string, err error) {
	ports := slices.DeleteFunc(slices.Clone(c.Ports), func(port container.PortSummary) bool { return port.PublicPort == 0 })
	if len(ports) == 0 {
		switch mode := c.HostConfig.NetworkMode; {
		case mode == "host":
			return addr, "", "", errors.New("it uses its host's network, for which Docker lists no ports; publish the port instead")
		case strings.HasPrefix(mode, "container:"):
			return addr, "", "", errors.New("it uses another container's network; put the label on the container that publishes the port")
		}
		return addr, "", "", errors.New("it publishes no port; publish the port to bind")
	}
	matching, protocol, err := matchPorts(ports, wanted, func(port container.PortSummary) (uint32, network.IPProtocol) {
		return uint32(port.PrivatePort), cmp.Or(network.IPProtocol(port.Type), network.TCP)
	})
	if err != nil {
		return addr, "", "", err
	}
	// A port may be published several times. One way in is enough: at the address
	// by which the host is reached, if that is known, as others may lead in from
	// the host alone; and of several the lowest port, IPv4 before IPv6.
	var ways []netip.AddrPort
	everywhere, local := false, "loopback"
	for _, port := range matching {
		switch ip := port.IP.Unmap(); {
		case ip.IsLoopback():
		case !ip.IsValid() || ip.IsUnspecified():
			everywhere = true
		case !sources.Reachable(ip):
			local = "link-local"
		default:
			ways = append(ways, netip.AddrPortFrom(ip, port.PublicPort))
		}
	}
	if everywhere && p.wildcard.IsValid() {
		ways = append(ways, wildcardWays(matching, p.wildcard.Unmap())...)
	}
	switch {
	case len(ways) > 0:
		return slices.MinFunc(ways, func(x, y netip.AddrPort) int {
			return cmp.Or(elsewhere(x, p.wildcard)-elsewhere(y, p.wildcard), cmp.Compare(x.Port(), y.Port()), x.Addr().Compare(y.Addr()))
		}), protocol, "", nil
	case everywhere && p.wildcard.IsValid():
		return addr, "", "", fmt.Errorf("its port is published for IPv6 only, but the host's address is %v", p.wildcard)
	case everywhere:
		return addr, "", "", errors.New("its port is published on all addresses of its host; " + p.remedy)
	}
	return addr, "", "its port is published on its host's " + local + " address only", nil
}

// elsewhere is 1 for a way in that is not at the address of the host, and else 0.
func elsewhere(way netip.AddrPort, host netip.Addr) int {
	if way.Addr() == host.Unmap() {
		return 0
	}
	return 1
}

// wildcardWays are the ports that are published on all addresses of a host, at
// the one by which it is reached. A port is listed for 0.0.0.0 and for ::, and
// the two may differ; old engines list only 0.0.0.0 and mean both.
func wildcardWays(ports []container.PortSummary, host netip.Addr) (ways []netip.AddrPort) {
	var v4, v6 []netip.AddrPort
	for _, port := range ports {
		way := netip.AddrPortFrom(host, port.PublicPort)
		switch {
		case port.IP == netip.IPv6Unspecified():
			v6 = append(v6, way)
		case !port.IP.IsValid() || port.IP.IsUnspecified():
			v4 = append(v4, way)
		}
	}
	if host.Is6() && len(v6) > 0 {
		return v6
	}
	return v4
}
