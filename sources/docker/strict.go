package docker

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
)

// maxBody is the size in bytes above which an answer is refused: 25,000 tasks
// are about 100 MB.
const maxBody = 256 << 20

// strict lets only whole answers through to Docker's client library, which
// takes null for an empty list, and also a redirect with [] for a body, and
// does not look at what follows the JSON. It follows no redirects.
type strict struct {
	base    http.RoundTripper
	maxBody int64
}

// failure is why there is no whole answer to a request.
type failure struct {
	method, path string
	err          error
}

func (f *failure) Error() string { return f.method + " " + f.path + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// exchange travels with the context of a request to its round trip, where the
// answer is read, and back comes the failure as it was: the client library wraps
// layers around it that repeat the request, and for some replaces the reason.
type exchange struct {
	read  func(*bounds.Decoder) error // nil: what the answer says does not matter
	shape *bounds.Shape
	open  byte   // what the answer must begin with
	stand string // what the client library decodes instead of it
	err   error
}

type exchangeKey struct{}

// ask makes a call of the client library.
func ask(ctx context.Context, x *exchange, call func(context.Context) error) error {
	if err := call(context.WithValue(ctx, exchangeKey{}, x)); x.err == nil {
		return err
	}
	return x.err
}

func (s strict) RoundTrip(r *http.Request) (*http.Response, error) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	resp, err := s.whole(r, x)
	x.err = nil // of a try before this
	if err != nil {
		x.err = &failure{r.Method, r.URL.Path, err}
	}
	return resp, x.err
}

// whole is a round trip that ends when all of a good answer has been read.
func (s strict) whole(r *http.Request, x *exchange) (*http.Response, error) {
	r = r.Clone(r.Context())
	bounds.Compressed(r)
	resp, err := s.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := httpapi.NewStatusError(resp)
		if err.Code == http.StatusNotFound && strings.HasSuffix(r.URL.Path, "/_ping") {
			return nil, fmt.Errorf("%w; no Docker daemon answers GET /_ping like this: correct host", err)
		}
		return nil, err
	}
	if x.read != nil {
		body := bounds.NewBody(resp, s.maxBody)
		if err := x.accept(body); err != nil {
			return nil, cmp.Or(body.Err, err)
		}
	}
	resp.Header.Del("Content-Encoding")
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(x.stand)), int64(len(x.stand))
	return resp, nil
}

// accept reads a body that must be one JSON value of the right sort, and nothing
// else.
func (x *exchange) accept(body io.Reader) error {
	in := bufio.NewReader(body)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	kind := "a list"
	if x.open == '{' {
		kind = "an object"
	}
	switch text := bytes.TrimSpace(head); {
	case len(text) == 0 && len(head) < 512:
		return fmt.Errorf("200 with an empty body instead of %s", kind)
	case len(text) > 0 && text[0] != x.open:
		return fmt.Errorf("200 with %s instead of %s", sources.Excerpt(text), kind)
	}
	d := bounds.NewDecoder(in, x.shape)
	if err := x.read(d); err != nil {
		return misshapen(err)
	}
	return misshapen(d.End())
}

// misshapen is an error about what is decoded in words that say what was read.
func misshapen(err error) error {
	if err == nil || errors.Is(err, bounds.ErrTooLarge) {
		return err
	}
	return fmt.Errorf("200 with what is not one whole JSON value: %w", err)
}

// misread is an object of a list that cannot be read. Its raw text may still
// tell whose it is.
type misread struct {
	raw json.RawMessage
	err error
}

// readList makes a request whose answer is a list of T, and reads of each what
// shape says. Where an object is not as Docker's types are, all others are read
// nevertheless. Only what wanted accepts is kept.
func readList[T any](ctx context.Context, shape *bounds.Shape, wanted func(T) bool, call func(context.Context) error) (items []T, bad []misread, err error) {
	read := func(d *bounds.Decoder) error {
		items, bad = nil, nil
		var raw json.RawMessage
		size := int64(0)
		return d.List(func() error {
			if err := d.Decode(&raw); err != nil {
				return err
			}
			var item T
			switch err := json.Unmarshal(raw, &item); {
			case err != nil:
				bad = append(bad, misread{bytes.Clone(raw), err})
				size += int64(len(raw))
			case wanted(item):
				items = append(items, item)
				size += bounds.Size(item)
			}
			return d.Keep(size)
		})
	}
	err = ask(ctx, &exchange{read: read, shape: bounds.List(shape), open: '[', stand: "[]"}, call)
	return items, bad, err
}

// every wants all objects of a list.
func every[T any](T) bool { return true }

// info is what counts of how a daemon is.
type info struct {
	ServerVersion string
	SystemStatus  [][2]string
	Swarm         struct {
		LocalNodeState   swarm.LocalNodeState
		ControlAvailable bool
		Error            string
	}
}

func readInfo(ctx context.Context, c *connection) (i info, err error) {
	read := func(d *bounds.Decoder) error { return d.Decode(&i) }
	err = ask(ctx, &exchange{read: read, shape: bounds.Of[info](), open: '{', stand: "{}"}, func(ctx context.Context) error {
		_, err := c.client.Info(ctx, client.InfoOptions{})
		return err
	})
	return i, err
}
