package kubernetes

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/labels"
)

// change is what a watch reports.
type change struct {
	version int
	kind    string
	object  manifest
	before  labels.Set // of the object
}

// record is called with the lock held, and returns the object in its new version.
func (a *apiserver) record(kind string, o manifest) manifest {
	o = maps.Clone(o)
	o["metadata"] = maps.Clone(o.meta())
	o.meta()["resourceVersion"] = strconv.Itoa(a.version)
	a.history = append(a.history, change{a.version, kind, o, o.labels()})
	if a.news != nil {
		close(a.news)
		a.news = nil
	}
	return o
}

// change replaces an object by one of the same name.
func (a *apiserver) change(o manifest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	all := slices.Clone(a.objects[plurals[o["kind"]]])
	i := slices.IndexFunc(all, func(old manifest) bool {
		return old.meta()["name"] == o.meta()["name"] && old.meta()["namespace"] == o.meta()["namespace"]
	})
	before := all[i].labels()
	all[i] = a.record("MODIFIED", o)
	a.history[len(a.history)-1].before = before
	a.objects[plurals[o["kind"]]] = all
}

// compact makes the API server forget what it could report.
func (a *apiserver) compact() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.history = []change{{version: a.version}}
}

// watch is a list with watch=1 (API concepts, Efficient detection of changes).
// It is called with the lock held.
func (a *apiserver) watch(w http.ResponseWriter, r *http.Request, plural, namespace string) {
	parameters := r.URL.Query()
	for name := range parameters {
		if !slices.Contains([]string{"watch", "allowWatchBookmarks", "resourceVersion", "timeoutSeconds", "labelSelector"}, name) {
			refuse(w, 400, "BadRequest", "a source should not use "+name)
			return
		}
	}
	if a.watchable != nil && !a.watchable(plural, namespace) {
		refuse(w, 403, "Forbidden", fmt.Sprintf("%s is forbidden: User %q cannot watch resource %q", plural, "nitrox", plural))
		return
	}
	selector, err := labels.Parse(parameters.Get("labelSelector"))
	if err != nil {
		refuse(w, 400, "BadRequest", "unable to parse requirement: "+err.Error())
		return
	}
	from, err := strconv.Atoi(parameters.Get("resourceVersion"))
	if err != nil || from > a.version || parameters.Get("timeoutSeconds") == "" {
		refuse(w, 400, "BadRequest", "a source should say from which version on, and for how long")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	send := func(kind string, object any) {
		json.NewEncoder(w).Encode(manifest{"type": kind, "object": object})
	}
	flush := http.NewResponseController(w)
	for next := 0; ; {
		if len(a.history) > 0 && a.history[0].kind == "" && a.history[0].version > from {
			send("ERROR", manifest{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
				"message": fmt.Sprintf("too old resource version: %d (%d)", from, a.history[0].version)})
			return
		}
		for ; next < len(a.history); next++ {
			c := a.history[next]
			if c.kind == "" || c.version <= from || plurals[c.object["kind"]] != plural || namespace != "" && c.object.meta()["namespace"] != namespace {
				continue
			}
			kind, was, is := c.kind, selector.Matches(c.before), selector.Matches(c.object.labels())
			switch { // an object that is no longer chosen is deleted, for who watches
			case !was && !is:
				continue
			case !was:
				kind = "ADDED"
			case !is:
				kind = "DELETED"
			}
			send(kind, c.object)
		}
		if a.news == nil {
			a.news = make(chan struct{})
		}
		news := a.news
		a.mu.Unlock()
		flush.Flush()
		select {
		case <-news:
		case <-r.Context().Done():
		}
		a.mu.Lock()
		if r.Context().Err() != nil {
			return
		}
	}
}
