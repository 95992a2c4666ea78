package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"nitrox/sources"
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

// exchange travels with the context of a request to its round trip, and back
// come the body, and the failure as it was: the client library wraps layers
// around it that repeat the request, and for some replaces the reason.
type exchange struct {
	open byte // the first byte of the JSON value that must come; 0: no JSON
	body []byte
	err  error
}

type exchangeKey struct{}

// ask makes a call of the client library.
func ask(ctx context.Context, open byte, call func(context.Context) error) (body []byte, err error) {
	x := &exchange{open: open}
	if err = call(context.WithValue(ctx, exchangeKey{}, x)); x.err != nil {
		err = x.err
	}
	return x.body, err
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

// whole is a round trip that ends when all of a good answer is there.
func (s strict) whole(r *http.Request, x *exchange) (*http.Response, error) {
	resp, err := s.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, httpapi.NewStatusError(resp)
	}
	body, err := httpapi.ReadAll(resp, s.maxBody)
	if err == nil && x.open != 0 {
		err = x.accept(body)
	}
	if err != nil {
		return nil, err
	}
	x.body = body
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// accept looks that body is one JSON value of the right sort, and nothing else.
func (x *exchange) accept(body []byte) error {
	text := bytes.TrimSpace(body)
	kind := "a list"
	if x.open == '{' {
		kind = "an object"
	}
	switch {
	case len(text) == 0:
		return fmt.Errorf("200 with an empty body instead of %s", kind)
	case text[0] != x.open:
		return fmt.Errorf("200 with %s instead of %s", sources.Excerpt(text), kind)
	case !json.Valid(text):
		return fmt.Errorf("200 with %d bytes that are not one whole JSON value", len(text))
	}
	return nil
}

// misread is an object of a list that cannot be read. Its raw text may still
// tell whose it is.
type misread struct {
	raw json.RawMessage
	err error
}

// readList makes a request whose answer is a list of T. Where an object is not
// as Docker's types are, all others are read nevertheless.
func readList[T any](ctx context.Context, call func(context.Context) ([]T, error)) ([]T, []misread, error) {
	var items []T
	body, err := ask(ctx, '[', func(ctx context.Context) (err error) {
		items, err = call(ctx)
		return err
	})
	if err == nil || body == nil {
		return items, nil, err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, nil, err
	}
	items = nil
	var bad []misread
	for _, r := range raw {
		var item T
		if err := json.Unmarshal(r, &item); err != nil {
			bad = append(bad, misread{r, err})
			continue
		}
		items = append(items, item)
	}
	return items, bad, nil
}

func readInfo(ctx context.Context, c *connection) (info system.Info, err error) {
	_, err = ask(ctx, '{', func(ctx context.Context) error {
		result, err := c.client.Info(ctx, client.InfoOptions{})
		info = result.Info
		return err
	})
	return info, err
}
