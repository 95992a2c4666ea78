package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
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
		return nil, statusError(resp)
	}
	body, err := s.read(resp)
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

func (s strict) read(resp *http.Response) ([]byte, error) {
	var buf bytes.Buffer
	if resp.ContentLength > 0 && resp.Request.Method != http.MethodHead {
		buf.Grow(int(min(resp.ContentLength, 16<<20)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, s.maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("after %d bytes of the answer: %w", n, err)
	}
	if n > s.maxBody {
		return nil, fmt.Errorf("the answer is larger than %d MiB", s.maxBody>>20)
	}
	return buf.Bytes(), nil
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
		return fmt.Errorf("200 with an empty body, not %s", kind)
	case text[0] != x.open:
		return fmt.Errorf("200 with %s, not %s", excerpt(text), kind)
	case !json.Valid(text):
		return fmt.Errorf("200 with %d bytes that are not one whole JSON value", len(text))
	}
	return nil
}

// statusError tells of a status that is not 200. Docker puts its reason into
// the message of a JSON object; proxies send HTML.
func statusError(resp *http.Response) error {
	status := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if resp.StatusCode < 400 {
		return errors.New(status + ": only 200 is a whole answer, and redirects are not followed")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", status, err)
	}
	var object struct{ Message string }
	if json.Unmarshal(body, &object) == nil && object.Message != "" {
		body = []byte(object.Message)
	}
	if text := strings.TrimSpace(string(body)); text != "" {
		status += ": " + excerpt([]byte(text))
	}
	return errors.New(status)
}

// excerpt is the beginning of a text, on one line.
func excerpt(text []byte) string {
	const most = 300
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), most)]), "")), " ")
	if len(text) > most {
		line += "…"
	}
	return line
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
