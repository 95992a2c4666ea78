// Package httpapi is what the HTTP APIs of cluster managers have in common: one
// of several hosts answers, an answer is whole or an error, and redirects do not
// take credentials elsewhere.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// InTurn asks hosts until one answers. Each gets its share of the time that is
// left, so that one that is silent does not use up all of it.
func InTurn[H fmt.Stringer, A any](ctx context.Context, hosts []H, ask func(context.Context, H) (A, error)) (answer A, err error) {
	var failed []error
	for i, host := range hosts {
		share, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			share, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(hosts)-i))
		}
		answer, err = ask(share, host)
		cancel()
		if err == nil {
			return answer, nil
		}
		failed = append(failed, fmt.Errorf("%v: %w", host, err))
		if ctx.Err() != nil {
			break
		}
	}
	return answer, errors.Join(failed...)
}

// Begin waits for open to make a request and its answer to begin, but not longer
// than ctx, of which open may know nothing: client-go waits for a credential plug-in
// as long as that takes. An answer that comes later is closed.
func Begin(ctx context.Context, open func(context.Context) (*http.Response, error)) (*http.Response, error) {
	type answer struct {
		response *http.Response
		err      error
	}
	answers := make(chan answer)
	go func() {
		response, err := open(ctx)
		select {
		case answers <- answer{response, err}:
		case <-ctx.Done():
			if err == nil {
				response.Body.Close()
			}
		}
	}()
	select {
	case a := <-answers:
		return a.response, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stay is a CheckRedirect that follows none. Credentials are added to every
// request, also to one that a redirect has sent to another host.
func Stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Cause is an error of [http.Client] without the URL around it: the caller names
// that, and some are hundreds of names long.
func Cause(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
