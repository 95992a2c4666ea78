package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"nitrox/sources"
	"nitrox/sources/bounds"
)

// task is what counts of a task. The whole, of which most is how to run it, would
// take ten times the memory.
type task struct {
	ID, ServiceID, NodeID string
	Slot                  int
	DesiredState          swarm.TaskState
	Status                struct {
		State        swarm.TaskState
		Message, Err string
		PortStatus   swarm.PortStatus
	}
	NetworksAttachments []struct {
		Network struct {
			DriverState, Spec struct{ Name string }
		}
	}
}

// service is what counts of a service.
type service struct {
	ID   string
	Spec struct {
		swarm.Annotations
		Mode         swarm.ServiceMode
		EndpointSpec *swarm.EndpointSpec
		TaskTemplate struct {
			ContainerSpec *struct{ Labels map[string]string }
		}
	}
	Endpoint      swarm.Endpoint
	ServiceStatus *swarm.ServiceStatus

	bad error // why it cannot be read
}

// node is what counts of a node.
type node struct {
	ID            string
	Spec          swarm.NodeSpec
	Description   struct{ Hostname string }
	Status        swarm.NodeStatus
	ManagerStatus *swarm.ManagerStatus
}

// cluster is what one poll knows of a swarm: what its queries want, and no more.
type cluster struct {
	services map[string]service  // by ID
	byName   map[string]string   // IDs by what queries want; "": not known
	byLabel  map[string][]string // the same, by key=value
	tasks    map[string][]task   // by service ID
	nodes    map[string]node
	// What could not be read, by what it harms: tasks by their service's ID, nodes
	// by their ID.
	badTasks map[string]error
	badNodes map[string]error
	others   others
}

// others is what all services tell about a query that has none.
type others struct {
	names, labels       sources.Names
	allNames, allLabels map[string]bool
	size                int
	// onContainers are the services whose containers have a label, by that.
	onContainers map[string]string
}

func pollSwarm(ctx context.Context, c *connection, config Config, queries []Query) ([]sources.Answer, error) {
	s := &cluster{
		byName: make(map[string]string), byLabel: make(map[string][]string), tasks: make(map[string][]task), badTasks: make(map[string]error),
	}
	for _, q := range queries {
		if q.Label != "" {
			s.byLabel[q.Label] = nil
		} else {
			s.byName[q.Service] = ""
		}
	}
	s.forget()
	if err := s.read(ctx, c); err != nil {
		return nil, err
	}
	c.labelled.note(s.byLabel)
	answers := make([]sources.Answer, len(queries))
	for i, q := range queries {
		answers[i] = s.answer(q, config)
	}
	return answers, nil
}

// read reads services, tasks and nodes, in this order: each list is younger than
// what refers to it.
func (s *cluster) read(ctx context.Context, c *connection) error {
	err := s.readFew(ctx, c)
	if refused(err) || err == nil && s.lacksService() {
		// There are many, or all are needed to tell what a query may have meant.
		s.forget()
		err = s.keepServices(ctx, c, nil)
	}
	if err == nil {
		err = s.readTasks(ctx, c)
	}
	if err == nil {
		err = s.readNodes(ctx, c)
	}
	return err
}

// forget makes room for all services instead of those that filters gave.
func (s *cluster) forget() {
	s.services = make(map[string]service)
	s.others = others{allNames: make(map[string]bool), allLabels: make(map[string]bool), onContainers: make(map[string]string)}
	s.others.names.All = func() []string { return slices.Sorted(maps.Keys(s.others.allNames)) }
	s.others.labels.All = func() []string { return slices.Sorted(maps.Keys(s.others.allLabels)) }
	for name := range s.byName {
		s.byName[name] = ""
	}
	for label := range s.byLabel {
		s.byLabel[label] = nil
	}
}

// readFew reads the services of few queries by filters; of many, none. In a filter
// of services a name is the beginning of names, and thousands may begin with it; in
// one of tasks it is all of a name. So tasks tell the IDs of their services, and
// those that have none are looked for after these.
func (s *cluster) readFew(ctx context.Context, c *connection) error {
	names := slices.Sorted(maps.Keys(s.byName))
	byName, fewNames := filtered("service", names)
	requests, fewLabels := filtered("label", slices.Sorted(maps.Keys(s.byLabel)))
	if !fewNames || !fewLabels {
		return nil
	}
	for _, filter := range byName {
		if err := s.listTasks(ctx, c, filter, nil); err != nil {
			return err
		}
	}
	byID, _ := filtered("id", slices.Sorted(maps.Keys(s.tasks)))
	for _, filter := range append(requests, byID...) {
		if err := s.keepServices(ctx, c, filter); err != nil {
			return err
		}
	}
	byName, _ = filtered("name", slices.DeleteFunc(names, func(name string) bool { return s.byName[name] != "" }))
	for _, filter := range byName {
		if err := s.keepServices(ctx, c, filter); err != nil {
			return err
		}
	}
	return nil
}

// lacksService says whether a query has no service.
func (s *cluster) lacksService() bool {
	for _, id := range s.byName {
		if id == "" {
			return true
		}
	}
	for _, ids := range s.byLabel {
		if len(ids) == 0 {
			return true
		}
	}
	return false
}

// keepServices keeps the wanted services of those that pass a filter; nil: all do.
func (s *cluster) keepServices(ctx context.Context, c *connection, filter client.Filters) error {
	look := func(item service) bool {
		if filter == nil {
			s.others.note(item, s.labelsOf)
		}
		_, named := s.byName[item.Spec.Name]
		return named || item.ID == "" || item.Spec.Name == "" || len(s.labelsOf(item.Spec.Labels)) > 0
	}
	// Status adds the number of running tasks to each service.
	list, err := readServices(ctx, c, client.ServiceListOptions{Status: true, Filters: filter}, look)
	if err != nil {
		return err
	}
	for _, item := range list {
		if _, named := s.byName[item.Spec.Name]; named {
			s.byName[item.Spec.Name] = item.ID
		}
		for _, label := range s.labelsOf(item.Spec.Labels) {
			if ids := s.byLabel[label]; !slices.Contains(ids, item.ID) { // another filter may have given it
				s.byLabel[label] = append(ids, item.ID)
			}
		}
		s.services[item.ID] = item
	}
	return nil
}

// readServices reads a list of services. One that cannot be read is among them, with its
// name and its labels, and the reason.
func readServices(ctx context.Context, c *connection, options client.ServiceListOptions, wanted func(service) bool) ([]service, error) {
	list, bad, err := readList(ctx, bounds.Of[service](), wanted, func(ctx context.Context) error {
		_, err := c.client.ServiceList(ctx, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, b := range bad {
		var known struct {
			ID   string
			Spec swarm.Annotations
		}
		if json.Unmarshal(b.raw, &known) != nil {
			return nil, fmt.Errorf("a service cannot be read, not even its name: %w", b.err)
		}
		item := service{ID: known.ID, bad: b.err}
		item.Spec.Annotations = known.Spec
		if wanted(item) {
			list = append(list, item)
		}
	}
	if slices.ContainsFunc(list, func(s service) bool { return s.ID == "" || s.Spec.Name == "" }) {
		return nil, errors.New("the list of services has one without an ID or a name")
	}
	return list, nil
}

// labelsOf are those of a service's or its containers' labels that queries want.
func (s *cluster) labelsOf(labels map[string]string) (wanted []string) {
	for key, value := range labels {
		label := key + "=" + value
		if _, ok := s.byLabel[label]; ok {
			wanted = append(wanted, label)
		}
	}
	return wanted
}

// maxOthers is how many bytes of names and labels are kept of services that nobody
// asks for: suggestions need no more.
const maxOthers = 2 << 20

// note keeps of one of all services what may tell about a query that has none.
func (o *others) note(item service, wanted func(labels map[string]string) []string) {
	if c := item.Spec.TaskTemplate.ContainerSpec; c != nil {
		for _, label := range wanted(c.Labels) {
			o.onContainers[label] = cmp.Or(o.onContainers[label], item.Spec.Name)
		}
	}
	if o.size += len(item.Spec.Name); o.size < maxOthers {
		o.allNames[item.Spec.Name] = true
	}
	for key, value := range item.Spec.Labels {
		if o.size += len(key) + len(value); o.size < maxOthers {
			o.allLabels[key+"="+value] = true
		}
	}
}

// readTasks reads the tasks of the services that have none yet: also those that
// a filter by names has not shown, as their service may be younger.
func (s *cluster) readTasks(ctx context.Context, c *connection) error {
	lacking := make(map[string]bool)
	for id := range s.services {
		if len(s.tasks[id]) == 0 && s.badTasks[id] == nil {
			lacking[id] = true
		}
	}
	requests, few := filtered("service", slices.Sorted(maps.Keys(lacking)))
	if !few {
		return s.listTasks(ctx, c, nil, lacking)
	}
	for _, filter := range requests {
		if err := s.listTasks(ctx, c, filter, lacking); refused(err) { // a service has just been removed
			return s.listTasks(ctx, c, nil, lacking)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// listTasks keeps the tasks of services; nil: of those that the filter names.
func (s *cluster) listTasks(ctx context.Context, c *connection, filter client.Filters, services map[string]bool) error {
	met := make(map[string]bool)
	list, bad, err := readList(ctx, bounds.Of[task](), func(t task) bool {
		met[t.ServiceID] = true
		return t.ID == "" || services[t.ServiceID] || services == nil && len(met) <= len(filter["service"])
	}, func(ctx context.Context) error {
		// Without this the list has the history of each task, too.
		filter := filter.Clone().Add("desired-state", string(swarm.TaskStateRunning))
		_, err := c.client.TaskList(ctx, client.TaskListOptions{Filters: filter})
		return err
	})
	if err == nil && services == nil && len(met) > len(filter["service"]) {
		err = errUnfiltered
	}
	if err != nil {
		return err
	}
	for _, b := range bad {
		var known struct{ ID, ServiceID string }
		if err := json.Unmarshal(b.raw, &known); err != nil || known.ServiceID == "" {
			return fmt.Errorf("a task cannot be read, not even whose it is: %w", b.err)
		}
		s.badTasks[known.ServiceID] = fmt.Errorf("task %s cannot be read: %w", known.ID, b.err)
	}
	tasks := make(map[string][]task)
	for _, t := range list {
		if t.ID == "" {
			return errors.New("the list of tasks has one without an ID")
		}
		tasks[t.ServiceID] = append(tasks[t.ServiceID], t)
	}
	maps.Copy(s.tasks, tasks)
	return nil
}

// readNodes reads the nodes of the tasks. Where one of them is not among these, a
// node has joined since the list was made, or has just been removed; and where none
// is, it is not certain that there is a list at all: then all nodes are read.
func (s *cluster) readNodes(ctx context.Context, c *connection) error {
	wanted := make(map[string]bool)
	for _, tasks := range s.tasks {
		for _, t := range tasks {
			wanted[t.NodeID] = true
		}
	}
	delete(wanted, "") // of tasks that wait for one
	requests, few := filtered("id", slices.Sorted(maps.Keys(wanted)))
	switch {
	case !few:
		requests = []client.Filters{nil}
	case len(wanted) == 0:
		requests = []client.Filters{make(client.Filters).Add("role", string(swarm.NodeRoleManager))}
	}
	n, err := s.listNodes(ctx, c, wanted, requests...)
	if refused(err) || err == nil && (n == 0 || s.lacksNode()) {
		n, err = s.listNodes(ctx, c, wanted, nil)
	}
	if err == nil && n == 0 {
		err = errors.New("the list of nodes is empty, although the manager itself is a node")
	}
	return err
}

// listNodes keeps the wanted nodes of lists, and returns how many these have.
func (s *cluster) listNodes(ctx context.Context, c *connection, wanted map[string]bool, filters ...client.Filters) (n int, err error) {
	s.nodes, s.badNodes = make(map[string]node), make(map[string]error)
	for _, filter := range filters {
		list, bad, err := readList(ctx, bounds.Of[node](), func(item node) bool {
			n++
			return item.ID == "" || wanted[item.ID]
		}, func(ctx context.Context) error {
			_, err := c.client.NodeList(ctx, client.NodeListOptions{Filters: filter})
			return err
		})
		if err != nil {
			return 0, err
		}
		n += len(bad)
		for _, b := range bad {
			var known struct{ ID string }
			if err := json.Unmarshal(b.raw, &known); err != nil || known.ID == "" {
				return 0, fmt.Errorf("a node cannot be read, not even its ID: %w", b.err)
			}
			s.badNodes[known.ID] = fmt.Errorf("node %s cannot be read: %w", known.ID, b.err)
		}
		for _, item := range list {
			if item.ID == "" {
				return 0, errors.New("the list of nodes has one without an ID")
			}
			s.nodes[item.ID] = item
		}
	}
	return n, nil
}

// selected are the IDs of a query's services.
func (s *cluster) selected(q Query) []string {
	if q.Label != "" {
		return s.byLabel[q.Label]
	}
	if id := s.byName[q.Service]; id != "" {
		return []string{id}
	}
	return nil
}

// lacksNode says whether a running task is on a node that the list of nodes does
// not have.
func (s *cluster) lacksNode() bool {
	for id := range s.services {
		for _, t := range s.tasks[id] {
			if _, ok := s.nodes[t.NodeID]; !ok && s.badNodes[t.NodeID] == nil && isRunning(t) {
				return true
			}
		}
	}
	return false
}

func isRunning(t task) bool {
	return t.DesiredState == swarm.TaskStateRunning && t.Status.State == swarm.TaskStateRunning && t.NodeID != ""
}
