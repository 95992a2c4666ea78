package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"nitrox/sources"
	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
	"nitrox/sources/kubeapi"
)

// patience is how long the API server may take to tell of rights, and a command to
// give credentials.
const patience = 10 * time.Second

// right is to do something with objects of a resource, in a namespace or, if that
// is "", in all.
type right struct {
	verb      string
	resource  resource
	namespace string
}

func (r right) String() string {
	return fmt.Sprintf("%s %s%s", r.verb, r.resource, query{namespace: r.namespace}.in())
}

// needs are the rights to answer the queries, to watch for changes, and to tell of them.
func (s *Source) needs(queries []Query) (all []right) {
	names, byNode, byPod := namesOf(queries), false, map[string]bool{}
	for _, q := range queries {
		byNode = byNode || q.address() == NodePort || q.address() == HostPort
		if q.address() == HostPort {
			byPod[q.key().namespace] = true
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(names)) {
		for _, verb := range []string{"list", "watch"} {
			all = append(all, right{verb, services, namespace})
			if len(names[namespace].sliced()) > 0 {
				all = append(all, right{verb, endpointSlices, namespace})
			}
		}
		if byPod[namespace] {
			all = append(all, right{"list", pods, namespace})
		}
		if s.config.Events {
			all = append(all, right{"create", events, namespace})
		}
	}
	if byNode {
		all = append(all, right{"list", nodes, ""}, right{"watch", nodes, ""})
	}
	return all
}

// Examine implements [sources.Examiner]: the way to the API server, and each right.
func (s *Source) Examine(ctx context.Context, queries []Query) (checks []examine.Check, reachable bool) {
	c, err := s.connect()
	if err != nil {
		return []examine.Check{examine.Fail("kubeconfig", err, "correct kubeconfig or context in the mapping")}, false
	}
	for _, file := range s.cluster.Files() {
		if err := sources.OpenToOthers(sources.Path(file)); err != nil {
			checks = append(checks, examine.Bad(examine.Warning, "kubeconfig", err, ""))
		}
	}
	way, reachable := c.Examine(ctx)
	if checks = append(checks, way...); !reachable {
		return checks, false
	}
	rights, known := examineRights(ctx, c, queries, s.needs(queries))
	return append(checks, rights...), known
}

// examineRights asks for each right. known: the API server knows who asks.
func examineRights(ctx context.Context, c *client, queries []Query, needed []right) (all []examine.Check, known bool) {
	// And two that Nitrox never needs.
	asked := append(slices.Clone(needed),
		right{"*", resource{apiVersion: "*/v1", plural: "*"}, ""}, right{"get", resource{plural: "secrets"}, ""})
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	has, errs := make([]bool, len(asked)), make([]error, len(asked))
	inParallel(len(asked), func(i int) { has[i], errs[i] = c.may(ctx, asked[i]) })
	const subject = "rights"
	for _, err := range errs {
		if httpapi.HasCode(err, http.StatusUnauthorized) {
			return []examine.Check{{Subject: "log-in", State: examine.Failed,
				Seen: "401 Unauthorized: the credentials are missing, expired or another cluster's", Remedy: c.Renew()}}, false
		}
		if errors.Is(err, kubeapi.ErrNoCredentials) {
			return []examine.Check{examine.Fail("log-in", err, "")}, false
		}
		if err != nil && !errors.As(err, new(*httpapi.StatusError)) {
			return nil, true // there was no answer, as the poll will tell
		}
		if err != nil {
			return []examine.Check{{Subject: subject, State: examine.Note, Seen: fmt.Sprintf("not told: %v", err),
				Remedy: "compare those of the account with the roles below", Copy: roles(needed)}}, true
		}
	}
	var lacks, unwatched, untold []string
	byPods := false
	for i, r := range needed {
		switch {
		case has[i]:
		case r.verb == "watch":
			unwatched = append(unwatched, r.String())
		case r.verb == "create":
			untold = append(untold, r.String())
		case r.resource == nodes && podsInstead(ctx, c, queries):
			byPods = true
		default:
			lacks = append(lacks, r.String())
		}
	}
	enough := examine.Fine(subject, "the account may list all that is needed")
	if len(lacks) > 0 {
		enough.State, enough.Seen, enough.Remedy = examine.Failed, "the account may not "+strings.Join(lacks, ", "), "give it the roles below"
	}
	enough.Copy = roles(needed)
	all = append(all, enough)
	warn := func(subject, seen, remedy string) {
		all = append(all, examine.Check{Subject: subject, State: examine.Warning, Seen: "the account may " + seen, Remedy: remedy})
	}
	if byPods {
		warn(subject, "not list nodes, so addresses of nodes are taken from pods", "allow it to list nodes, if their labels and health are to count")
	}
	if len(unwatched) > 0 {
		warn(examine.Watching, "not "+strings.Join(unwatched, ", "), "give it the verb watch, or do without --watch")
	}
	if len(untold) > 0 {
		warn("events", "not "+strings.Join(untold, ", "), "give it the roles below, or remove events from the source")
	}
	if has[len(needed)] {
		warn(subject, "also do everything, which Nitrox never needs", "use an account with the roles below alone")
	} else if has[len(needed)+1] {
		warn(subject, "also read secrets, which Nitrox never needs", "use an account with the roles below alone")
	}
	return all, true
}

// podsInstead says whether the addresses of nodes may be had from pods.
func podsInstead(ctx context.Context, c *client, queries []Query) bool {
	return !slices.ContainsFunc(queries, func(q Query) bool {
		if q.address() != NodePort && q.address() != HostPort {
			return false
		}
		ok, err := c.may(ctx, right{"list", pods, q.key().namespace})
		return err != nil || !ok
	})
}

// may asks whether the account has a right (SelfSubjectAccessReview), which anyone
// may ask about themselves. Nothing is kept of it.
func (c *client) may(ctx context.Context, r right) (bool, error) {
	group := ""
	if before, _, ok := strings.Cut(r.resource.apiVersion, "/"); ok {
		group = before
	}
	attributes := map[string]string{"verb": r.verb, "group": group, "resource": r.resource.plural, "namespace": r.namespace}
	body, err := json.Marshal(map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
		"spec": map[string]any{"resourceAttributes": attributes}})
	if err != nil {
		return false, err
	}
	text, err := c.Do(ctx, http.MethodPost, c.URL("apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), body, 1<<20)
	if err != nil {
		return false, fmt.Errorf("ask for the right to %v: %w", r, err)
	}
	var answer struct {
		Kind   string
		Status *struct{ Allowed bool }
	}
	if json.Unmarshal(text, &answer) != nil || answer.Kind != "SelfSubjectAccessReview" || answer.Status == nil {
		return false, errors.New("the answer is not a SelfSubjectAccessReview: " + sources.Excerpt(text))
	}
	return answer.Status.Allowed, nil
}

// roles are manifests of the smallest rights.
func roles(needed []right) (lines []string) {
	type rule struct{ namespace, group, plural string }
	verbs := map[rule][]string{}
	var order []rule
	for _, r := range needed {
		group, _, _ := strings.Cut(r.resource.apiVersion, "/")
		if group == "v1" {
			group = `""`
		}
		k := rule{r.namespace, group, r.resource.plural}
		if verbs[k] == nil {
			order = append(order, k)
		}
		verbs[k] = append(verbs[k], r.verb)
	}
	namespace, begun := "", false
	for _, k := range order {
		if !begun || k.namespace != namespace {
			kind, metadata := "Role", "{name: nitrox, namespace: "+k.namespace+"}"
			if k.namespace == "" {
				kind, metadata = "ClusterRole", "{name: nitrox-nodes}"
			}
			if begun {
				lines = append(lines, "---")
			}
			namespace, begun = k.namespace, true
			lines = append(lines, "apiVersion: rbac.authorization.k8s.io/v1", "kind: "+kind, "metadata: "+metadata, "rules:")
		}
		lines = append(lines, "  - apiGroups: ["+k.group+"]", "    resources: ["+k.plural+"]", "    verbs: ["+strings.Join(verbs[k], ", ")+"]")
	}
	return lines
}
