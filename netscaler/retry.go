package netscaler

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	// maxTries is how often a call is made at most, and retryWithin the time
	// since its beginning after which it is not made again.
	maxTries    = 4
	retryWithin = 20 * time.Second
	// firstWait is the mean time before the second try; it doubles.
	firstWait = time.Second
)

// retries is a go-retryablehttp client with the policy of the call. Its own
// policy takes NITRO's 599 for an outage and swallows the error in the body.
func (c *Client) retries(k *call) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: c.http,
			Timeout:   k.limit,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
		RetryMax: maxTries,
		RequestLogHook: func(retryablehttp.Logger, *http.Request, int) {
			k.tries++
			k.tried = time.Now()
			k.unsure = false
			k.sent.traced.Store(false)
			k.sent.wrote.Store(false)
		},
		CheckRetry:   k.check,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return k.wait },
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// check is asked after each try: with a response that is not read yet, with
// what receive returned, or with the error of a connection.
func (k *call) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if err == nil {
		return false, nil
	}
	if resp != nil {
		return ctx.Err() == nil, nil // receive has asked for another try
	}
	k.err = err
	k.unsure = k.sent.maybe(err)
	k.log(0, 0, err)
	return ctx.Err() == nil && k.again(err), nil
}

// again decides whether the call is made once more after err, and when. Busy
// answers and lost connections are worth it; but what may have been carried
// out is repeated only if that does no harm.
func (k *call) again(err error) bool {
	k.more = false
	if err == nil || !k.worth(err) || k.refused() != nil {
		return false
	}
	k.wait = time.Duration((0.5 + rand.Float64()) * float64(firstWait<<(k.tries-1)))
	k.more = k.tries < maxTries && time.Since(k.begun)+k.wait < retryWithin
	return k.more && !k.oneTry
}

func (k *call) worth(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.busy() || k.harmless && e.broken() && e.Status >= 500
	}
	if !k.harmless && k.unsure {
		return false
	}
	if errors.Is(err, errUnreadable) {
		// Cut off is worth another try; wrong will be wrong again.
		var connection net.Error
		return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &connection)
	}
	_, no := untrusted(err)
	return !no && (!k.impatient || k.unsure)
}

// sent knows whether anything of a request can have reached the appliance.
type sent struct{ traced, wrote atomic.Bool }

func (s *sent) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { s.traced.Store(true) },
		WroteHeaders: func() { s.wrote.Store(true) },
	})
}

// maybe holds for every request whose connection failed with err, unless it is
// proved that it was not sent. A transport that does not say is believed only
// if it could not connect.
func (s *sent) maybe(err error) bool {
	if s.traced.Load() {
		return s.wrote.Load()
	}
	var op *net.OpError
	return !errors.As(err, &op) || op.Op != "dial"
}
