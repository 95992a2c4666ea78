package docker

import (
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

// What counts of services and nodes.
var (
	serviceShape = bounds.Of[struct {
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
	}]()
	nodeShape = bounds.Of[struct {
		ID            string
		Spec          swarm.NodeSpec
		Description   struct{ Hostname string }
		Status        swarm.NodeStatus
		ManagerStatus *swarm.ManagerStatus
	}]()
)

// cluster is what one poll knows of a swarm.
type cluster struct {
	services []swarm.Service
	byName   map[string]int
	byLabel  map[string][]int // by key=value
	tasks    map[string][]task
	nodes    map[string]swarm.Node
	// names and labels are the keys of byName and byLabel.
	names, labels sources.Names
	// What could not be read, by what it harms: services by their number,
	// tasks by their service's ID, nodes by their ID.
	badServices map[int]error
	badTasks    map[string]error
	badNodes    map[string]error
}

func pollSwarm(ctx context.Context, c *connection, config Config, queries []Query) ([]sources.Answer, error) {
	s, err := readCluster(ctx, c)
	if err != nil {
		return nil, err
	}
	if s.lacksNode(queries) {
		// A node has joined since the list was made, or has just been removed.
		if err := s.readNodes(ctx, c); err != nil {
			return nil, err
		}
	}
	answers := make([]sources.Answer, len(queries))
	for i, q := range queries {
		answers[i] = s.answer(q, config)
	}
	return answers, nil
}

// readCluster reads services, tasks and nodes, in this order: each list is
// younger than what refers to it.
func readCluster(ctx context.Context, c *connection) (*cluster, error) {
	s := &cluster{}
	if err := s.readServices(ctx, c); err != nil {
		return nil, err
	}
	if err := s.readTasks(ctx, c); err != nil {
		return nil, err
	}
	return s, s.readNodes(ctx, c)
}

func (s *cluster) readServices(ctx context.Context, c *connection) error {
	list, bad, err := readList(ctx, serviceShape, every[swarm.Service], func(ctx context.Context) error {
		// Status adds the number of running tasks to each service.
		_, err := c.client.ServiceList(ctx, client.ServiceListOptions{Status: true})
		return err
	})
	if err != nil {
		return err
	}
	s.services, s.badServices = list, make(map[int]error)
	for _, b := range bad {
		var known struct {
			ID   string
			Spec swarm.Annotations
		}
		if err := json.Unmarshal(b.raw, &known); err != nil {
			return fmt.Errorf("a service cannot be read, not even its name: %w", err)
		}
		s.badServices[len(s.services)] = fmt.Errorf("service %s cannot be read: %w", known.Spec.Name, b.err)
		s.services = append(s.services, swarm.Service{ID: known.ID, Spec: swarm.ServiceSpec{Annotations: known.Spec}})
	}
	s.byName, s.byLabel = make(map[string]int), make(map[string][]int)
	s.names.All = func() []string { return slices.Sorted(maps.Keys(s.byName)) }
	s.labels.All = func() []string { return slices.Sorted(maps.Keys(s.byLabel)) }
	for i, service := range s.services {
		if service.ID == "" || service.Spec.Name == "" {
			return errors.New("the list of services has one without an ID or a name")
		}
		s.byName[service.Spec.Name] = i
		for key, value := range service.Spec.Labels {
			s.byLabel[key+"="+value] = append(s.byLabel[key+"="+value], i)
		}
	}
	return nil
}

func (s *cluster) readTasks(ctx context.Context, c *connection) error {
	list, bad, err := readList(ctx, bounds.Of[task](), every[task], func(ctx context.Context) error {
		// Without the filter the list has the history of each task, too.
		_, err := c.client.TaskList(ctx, client.TaskListOptions{
			Filters: make(client.Filters).Add("desired-state", string(swarm.TaskStateRunning))})
		return err
	})
	if err != nil {
		return err
	}
	s.tasks, s.badTasks = make(map[string][]task), make(map[string]error)
	for _, b := range bad {
		var known struct{ ID, ServiceID string }
		if err := json.Unmarshal(b.raw, &known); err != nil || known.ServiceID == "" {
			return fmt.Errorf("a task cannot be read, not even whose it is: %w", b.err)
		}
		s.badTasks[known.ServiceID] = fmt.Errorf("task %s cannot be read: %w", known.ID, b.err)
	}
	for _, task := range list {
		if task.ID == "" {
			return errors.New("the list of tasks has one without an ID")
		}
		s.tasks[task.ServiceID] = append(s.tasks[task.ServiceID], task)
	}
	return nil
}

func (s *cluster) readNodes(ctx context.Context, c *connection) error {
	list, bad, err := readList(ctx, nodeShape, every[swarm.Node], func(ctx context.Context) error {
		_, err := c.client.NodeList(ctx, client.NodeListOptions{})
		return err
	})
	if err != nil {
		return err
	}
	s.nodes, s.badNodes = make(map[string]swarm.Node), make(map[string]error)
	for _, b := range bad {
		var known struct{ ID string }
		if err := json.Unmarshal(b.raw, &known); err != nil || known.ID == "" {
			return fmt.Errorf("a node cannot be read, not even its ID: %w", b.err)
		}
		s.badNodes[known.ID] = fmt.Errorf("node %s cannot be read: %w", known.ID, b.err)
	}
	for _, node := range list {
		if node.ID == "" {
			return errors.New("the list of nodes has one without an ID")
		}
		s.nodes[node.ID] = node
	}
	if len(list)+len(bad) == 0 {
		return errors.New("the list of nodes is empty, although the manager itself is a node")
	}
	return nil
}

// selected are the numbers of a query's services.
func (s *cluster) selected(q Query) []int {
	if q.Label != "" {
		return s.byLabel[q.Label]
	}
	if i, ok := s.byName[q.Service]; ok {
		return []int{i}
	}
	return nil
}

// lacksNode says whether a running task of the queries is on a node that the
// list of nodes does not have.
func (s *cluster) lacksNode(queries []Query) bool {
	for _, q := range queries {
		for _, i := range s.selected(q) {
			for _, t := range s.tasks[s.services[i].ID] {
				if _, ok := s.nodes[t.NodeID]; !ok && s.badNodes[t.NodeID] == nil && isRunning(t) {
					return true
				}
			}
		}
	}
	return false
}

func isRunning(t task) bool {
	return t.DesiredState == swarm.TaskStateRunning && t.Status.State == swarm.TaskStateRunning && t.NodeID != ""
}
