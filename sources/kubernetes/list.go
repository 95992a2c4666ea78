package kubernetes

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
	"nitrox/sources/kubeapi"
)

const (
	// pageSize is how many objects are asked for at a time, as kubectl does. A
	// server that answers from its cache may send all at once.
	pageSize = 500
	// maxBody is the size in bytes above which an answer is refused: 5,000
	// nodes in one page are about 80 MB.
	maxBody = 256 << 20
)

// resource is a kind of object that is listed.
type resource struct {
	path       string // up to the namespace
	apiVersion string
	kind       string // of a list
	plural     string // as in a Role
}

var (
	endpointSlices = resource{"apis/discovery.k8s.io/v1", "discovery.k8s.io/v1", "EndpointSliceList", "endpointslices"}
	services       = resource{"api/v1", "v1", "ServiceList", "services"}
	nodes          = resource{"api/v1", "v1", "NodeList", "nodes"}
	pods           = resource{"api/v1", "v1", "PodList", "pods"}
)

// String is the resource as error messages of Kubernetes write it.
func (r resource) String() string {
	if group, _, ok := strings.Cut(r.apiVersion, "/"); ok {
		return r.plural + "." + group
	}
	return r.plural
}

// query is what a list is restricted to.
type query struct {
	namespace     string // "": all
	labelSelector string
	fieldSelector string
}

// in is the end of a sentence that says where.
func (q query) in() string {
	if q.namespace == "" {
		return ""
	}
	return " in namespace " + q.namespace
}

// page is one page of a list of Ts.
type page[T any] struct {
	Kind       string
	APIVersion string
	Metadata   pageMetadata
	Items      []T
	bad        []misread
	kept       int64 // the memory that the objects of this page and of those before take
}

type pageMetadata struct {
	ResourceVersion string `json:"resourceVersion" proto:"2"`
	Continue        string `json:"continue" proto:"3"`
	Remaining       *int   `json:"remainingItemCount" proto:"4"` // a server may leave it out
}

// is says whether it is a list of the resource.
func (p *page[T]) is(r resource) bool { return p.Kind == r.kind && p.APIVersion == r.apiVersion }

// pager reads a list page by page.
//
// The resource version is left unset: "most recent" (API concepts, Resource
// versions). With 0 any API server's cache may answer, from any time.
type pager[T any] struct {
	c        *client
	resource resource
	query    query
	limit    int    // of objects a page; 0: pageSize
	max      int64  // of bytes a page; 0: the client's
	number   int    // pages read
	next     string // the continue token; "" at the end
	version  string // that of the first page
	bad      []misread
	kept     int64 // the memory that the objects of all pages take

	remaining int // how many objects the pages to come have, about
}

// list reads a whole list, or fails. Objects that cannot be read are apart.
func list[T any](ctx context.Context, c *client, r resource, q query) (items []T, bad []misread, err error) {
	p := pager[T]{c: c, resource: r, query: q}
	items, err = p.all(ctx)
	return items, p.bad, err
}

// all reads all pages.
func (p *pager[T]) all(ctx context.Context) (items []T, err error) {
	for first := true; first || p.next != ""; first = false {
		more, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
	}
	return items, nil
}

// read reads the next page. A token that has expired (410) is a failure like
// any other: the next pass starts over.
func (p *pager[T]) read(ctx context.Context) ([]T, error) {
	p.number++
	items, err := p.readPage(ctx)
	switch {
	case err == nil:
		return items, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	where := p.query.in()
	if p.number > 1 {
		where += fmt.Sprintf(", page %d", p.number)
	}
	return nil, fmt.Errorf("list %s%s: %w", p.resource, where, err)
}

func (p *pager[T]) readPage(ctx context.Context) ([]T, error) {
	list := page[T]{kept: p.kept}
	accept := protobuf + "," + kubeapi.JSON
	if p.c.onlyJSON.Load() {
		accept = kubeapi.JSON
	}
	at := p.c.url(p.resource, p.query, [2]string{"limit", strconv.Itoa(cmp.Or(p.limit, pageSize))}, [2]string{"continue", p.next})
	err := p.c.Read(ctx, at, accept, func(resp *http.Response) (err error) {
		body := bounds.NewBody(resp, cmp.Or(p.max, p.c.maxBody))
		err = list.decode(body, p.resource)
		if err != nil && body.Err == nil && !errors.Is(err, bounds.ErrTooLarge) {
			err = fmt.Errorf("the answer is not a list of Kubernetes objects: %w", err)
		}
		return cmp.Or(body.Err, err)
	})
	switch {
	case accept != kubeapi.JSON &&
		(httpapi.HasCode(err, http.StatusNotAcceptable) || httpapi.HasCode(err, http.StatusUnsupportedMediaType)):
		p.c.onlyJSON.Store(true)
		return p.readPage(ctx)
	case err != nil:
		return nil, err
	case !list.is(p.resource):
		return nil, fmt.Errorf("the answer is a %q of %q, not a %s of %s", list.Kind, list.APIVersion, p.resource.kind, p.resource.apiVersion)
	case list.Metadata.ResourceVersion == "":
		// An object that is not from an API server, such as {} of a proxy.
		return nil, errors.New("the answer has no resourceVersion, so it may not be the whole list")
	case p.version != "" && list.Metadata.ResourceVersion != p.version:
		return nil, fmt.Errorf("the pages have different resource versions, %s and %s", p.version, list.Metadata.ResourceVersion)
	case list.Metadata.Continue != "" && list.Metadata.Continue == p.next:
		return nil, errors.New("the page names itself as the next one")
	}
	p.version, p.next = list.Metadata.ResourceVersion, list.Metadata.Continue
	p.bad = append(p.bad, list.bad...)
	p.kept = list.kept
	p.remaining = 0
	if p.next != "" {
		p.remaining = *cmp.Or(list.Metadata.Remaining, new(pageSize))
	}
	return list.Items, nil
}

// decode reads a page, object by object. Its form is told by how it begins: a proxy
// may leave out the Content-Type, or write another.
func (p *page[T]) decode(body io.Reader, r resource) error {
	text := bufio.NewReaderSize(body, 32<<10)
	if head, err := text.Peek(len(kubeapi.Magic)); err == nil && string(head) == kubeapi.Magic { // an error comes again
		return p.decodeProto(text, r)
	}
	return p.decodeJSON(text)
}

// add keeps an object that was read. One that is not as the API has it does not
// spoil the others.
func (p *page[T]) add(item T, bad *misread, memory *bounds.Memory) error {
	if bad != nil {
		p.bad = append(p.bad, *bad)
		p.kept += bounds.Size(bad.meta)
	} else {
		if t, ok := any(&item).(interface{ trim() }); ok {
			t.trim()
		}
		p.Items = append(p.Items, item)
		p.kept += bounds.Size(item)
	}
	return memory.Keep(p.kept)
}

func (p *page[T]) decodeJSON(text io.Reader) error {
	d := bounds.NewDecoder(text, bounds.Object(map[string]*bounds.Shape{
		"kind": bounds.Of[string](), "apiVersion": bounds.Of[string](),
		"metadata": bounds.Of[pageMetadata](), "items": bounds.List(bounds.Of[T]()),
	}))
	whole, raw := false, json.RawMessage(nil)
	err := d.Object(func(name string) error {
		switch strings.ToLower(name) {
		case "kind":
			return d.Decode(&p.Kind)
		case "apiversion":
			return d.Decode(&p.APIVersion)
		case "metadata":
			return d.Decode(&p.Metadata)
		}
		if whole {
			return errors.New("it has items twice")
		}
		whole = true
		err := d.List(func() error {
			if err := d.Decode(&raw); err != nil {
				return err
			}
			item, bad, err := readItem[T](raw, raw, json.Unmarshal)
			if err != nil {
				return err
			}
			return p.add(item, bad, &d.Memory)
		})
		if null := (*bounds.Mismatch)(nil); errors.As(err, &null) && null.Null {
			return nil // is how Go writes a list without objects
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !whole:
		return fmt.Errorf("an object of kind %q without items", p.Kind)
	}
	return d.End()
}

// url is that of objects, with parameters, of which those without a value are
// left out. Commas and the like stay as they are: a list of names would be half
// as long again.
func (c *client) url(r resource, q query, parameters ...[2]string) *url.URL {
	u := c.URL(r.path)
	if q.namespace != "" {
		u = u.JoinPath("namespaces", q.namespace)
	}
	u = u.JoinPath(r.plural)
	var all []string
	for _, p := range append(parameters, [2]string{"labelSelector", q.labelSelector}, [2]string{"fieldSelector", q.fieldSelector}) {
		if p[1] != "" {
			all = append(all, p[0]+"="+legible.Replace(url.QueryEscape(p[1])))
		}
	}
	u.RawQuery = strings.Join(all, "&")
	return u
}

var legible = strings.NewReplacer("%2C", ",", "%28", "(", "%29", ")", "%2F", "/")
