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
