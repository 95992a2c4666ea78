package netscaler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"nitrox/sources/bounds"
	"nitrox/sources/redact"
	"nitrox/sources/trust"
)

// call is one request to NITRO, with all its repeats.
type call struct {
	method string
	path   string        // below /nitro/v1/, with its query
	body   any           // is sent as JSON; nil: none
	array  bool          // the body is an array, each of whose items is tried
	limit  time.Duration // for one try
	// decode reads the body of an answer; nil: it has only what all have. It
	// is called again for each try and must not keep what an earlier one read.
	decode func(io.Reader) (reply, error)
	// max is the size of the largest answer; 0 is maxReply.
	max int64
	// harmless: a repeat does no harm even if the first try was carried out.
	harmless bool
	// allowed may refuse a try; nil: never.
	allowed func() error
	// impatient: there is another node to try, or nothing to win, so an
	// appliance that nothing reached is not called again.
	impatient bool
	// own: it is about the session itself, which is the Console's where there
	// is one.
	own bool
	// oneTry: its caller makes the other tries, if more says that they are of use.
	oneTry, more bool

	begun  time.Time // the first try
	tried  time.Time // the last
	tries  int
	wait   time.Duration // before the next
	sent   sent
	unsure bool // whether the last try was carried out is not known
	reply  reply
	err    error // how the last try ended
	log    func(status, code int, err error)
	turns  *bounds.Turns // to read an answer; nil: it is a small one
}

// refused is why no try may be made now.
func (k *call) refused() error {
	if k.allowed == nil {
		return nil
	}
	return k.allowed()
}

func get(path string, decode func(io.Reader) (reply, error)) *call {
	return &call{method: http.MethodGet, path: path, decode: decode, harmless: true, max: maxRead, limit: longTimeout}
}

// short is a get of one object.
func (c *Client) short(k *call) *call {
	k.limit, k.max = c.cfg.Timeout, maxReply
	return k
}

// do makes a call within the session, and once more in a new one if it was
// dead: a call that is refused for that was not carried out. Every call goes
// through here but those that begin, ask or end a session, which change nothing
// on the appliance; so this is where a read-only client refuses.
func (c *Client) do(ctx context.Context, k *call) (a reply, err error) {
	if c.cfg.ReadOnly && k.method != http.MethodGet {
		return a, fmt.Errorf("%s %s: %w", k.method, k.path, ErrReadOnly)
	}
	err = c.within(ctx, k.harmless, func(s *session) error {
		if k.method != http.MethodGet {
			if err := c.mayWrite(ctx, s, !k.harmless); err != nil {
				return err
			}
			k.allowed = c.cfg.Allow
		}
		if a, err = c.send(ctx, s, k); err == nil && k.method == http.MethodGet && strings.HasPrefix(k.path, "config/"+memberBinding) {
			c.members.Store(s)
		}
		return err
	})
	return a, err
}

// send makes a call, and repeats it while that is safe and of use: see
// call.again.
func (c *Client) send(ctx context.Context, s *session, k *call) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, fmt.Errorf("%s: not sent: %w", s.base, err)
	}
	end, err := c.cfg.Calls.Take(ctx)
	if err != nil {
		return reply{}, fmt.Errorf("%s: not sent: %w", s.base, err)
	}
	defer end()
	if err := k.refused(); err != nil { // after the wait
		return reply{}, fmt.Errorf("%w: not sent: %w", ErrUnavailable, err)
	}
	if k.begun.IsZero() {
		k.begun = time.Now()
	}
	var body any // of the types that go-retryablehttp can send twice
	if k.body != nil {
		text, err := json.Marshal(k.body)
		if err != nil {
			return reply{}, fmt.Errorf("encode %s %s: %w", k.method, k.path, err)
		}
		body = text
	}
	req, err := retryablehttp.NewRequestWithContext(k.sent.trace(ctx), k.method, s.base+"/nitro/v1/"+k.path, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Accept", "application/json")
	bounds.Compressed(req.Request)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.array {
		req.Header.Set("X-NITRO-ONERROR", "continue")
	}
	if s.cookie != "" {
		req.Header.Set("Cookie", s.cookie)
		redact.Sent(req.Header)
	}
	if c.cfg.Instance.IsValid() && !k.own {
		req.Header.Set("_MPS_API_PROXY_MANAGED_INSTANCE_IP", c.cfg.Instance.String())
	}
	req.SetResponseHandler(k.receive)
	if k.max == maxRead {
		k.turns = c.cfg.Turns
	}
	k.log = func(status, code int, err error) {
		c.observe(k, err)
		c.log.DebugContext(ctx, "NITRO call", "netscaler", s.base, "method", k.method, "path", k.path,
			"status", status, "errorcode", code, "ms", time.Since(k.tried).Milliseconds(), "error", err)
	}
	k.reply, k.err = reply{}, nil
	if _, err := c.retries(k).Do(req); err != nil { //nolint:bodyclose // receive closes it
		k.err = err
	}
	if k.err == nil && k.reply.code != 0 {
		c.log.WarnContext(ctx, "the NetScaler accepted the call, with a warning", "netscaler", s.base, "method", k.method, "path", k.path,
			"errorcode", k.reply.code, "message", printable(k.reply.message))
	}
	return k.reply, k.outcome(ctx, s.base, c.cfg)
}

// receive reads an answer into the call. It returns an error only if the call
// is to be made again: go-retryablehttp closes all connections after an error.
func (k *call) receive(resp *http.Response) error {
	defer resp.Body.Close()
	end, err := k.turns.Take(resp.Request.Context())
	if err == nil {
		k.reply, err = k.read(resp)
		end()
	}
	k.err = err
	var e *Error
	if errors.As(k.err, &e) {
		k.unsure = e.broken()
	} else {
		k.unsure = k.err != nil
	}
	k.log(resp.StatusCode, k.reply.code, k.err)
	if k.again(k.err) {
		return k.err
	}
	return nil
}

// read is what an answer says: the reply, and an [Error] if it is not that the
// call was carried out. Other errors mean that it could not be read.
func (k *call) read(resp *http.Response) (reply, error) {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		where := "another host" // the rest of a URL may hold secrets, of whoever redirects
		if to, err := resp.Location(); err == nil {
			where = printable(to.Scheme + "://" + to.Host)
		}
		message := fmt.Sprintf("redirected to %s, which is not followed; give that host as url", where)
		return reply{}, &Error{Status: resp.StatusCode, Message: message}
	}
	decode, limit := k.decode, k.max
	if decode == nil || resp.StatusCode >= 400 {
		decode = func(r io.Reader) (reply, error) { return decodeReply(r, "", reading{}) }
		limit = 0
	}
	if limit == 0 {
		limit = maxReply
	}
	body := bounds.NewBody(resp, limit)
	a, err := decode(body)
	err = cmp.Or(body.Err, err)
	if k.own {
		a.takeCookies(resp)
		redact.Session(a.session)
	}
	failed := &Error{Status: resp.StatusCode, Code: a.code, Message: printable(a.message), Failed: a.failed}
	var page notNITRO
	switch {
	case errors.As(err, &page):
		failed.Message = "not a NITRO answer: " + strings.TrimSuffix(printable(plainText(redact.Line(page, 1024))), ".")
		return a, failed
	case err != nil && resp.StatusCode >= 400 && a.code == 0:
		failed.Message = "the answer cannot be read: " + printable(err.Error())
		return a, failed
	case err != nil:
		return a, fmt.Errorf("%w: %w", errUnreadable, err)
	case resp.StatusCode >= 300 && (a.code == 0 || k.method == http.MethodGet):
		return a, failed // also if it is a warning: what was asked for was not read
	case k.method == http.MethodGet && !a.coded:
		failed.Message = "an answer without an errorcode"
		return a, failed
	case !a.done():
		return a, failed
	case !k.harmless && !a.coded && resp.StatusCode != http.StatusCreated:
		return a, errUnsaid
	}
	return a, nil
}

// outcome makes of the last try's end what callers are told.
func (k *call) outcome(ctx context.Context, base string, cfg Config) error {
	if k.err == nil {
		return nil
	}
	err := k.err
	var trouble *url.Error
	if errors.As(err, &trouble) {
		err = trouble.Err // method and URL are the caller's to name
	}
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		err = fmt.Errorf("%s: no answer within %v", base, k.limit) // the limit of one try
	default:
		err = fmt.Errorf("%s: %w", base, err)
	}
	advice, lasting := untrusted(err)
	via := ""
	if cfg.Transport == nil {
		via = trust.Via(base)
	}
	switch {
	case e.foreign() && via != "":
		advice = via
	case e != nil:
		advice = k.stranger(e, base, cfg.Instance.IsValid())
	case lasting && advice != "" && via != "": // it may decrypt what passes
		advice += "; " + via
	}
	if advice != "" {
		err = fmt.Errorf("%w; %s", err, advice)
	}
	switch {
	case !k.harmless && !k.own && k.unsure:
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	case e == nil && ctx.Err() != nil:
		return err
	case e != nil && e.whole():
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case e != nil && !e.busy() && !e.broken():
		return err
	}
	if k.tries > 1 {
		return fmt.Errorf("%w: %w (tried %d times in %v)", ErrUnavailable, err, k.tries, time.Since(k.begun).Round(time.Second/10))
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// stranger is what to do about an answer to a log-in that no NetScaler gives.
func (k *call) stranger(e *Error, base string, console bool) string {
	switch {
	case k.path != "config/login" || !e.foreign() || e.Status >= 500:
		return ""
	case strings.HasPrefix(base, "http://") && e.Status == http.StatusBadRequest:
		return "if the port expects TLS, write https:// in the URL"
	}
	if console {
		return fmt.Sprintf("no NetScaler Console answers %s %s/nitro/v1/%s like this; give the Console's URL as via", k.method, base, k.path)
	}
	return fmt.Sprintf("no NetScaler answers %s %s/nitro/v1/%s like this; give the URL of its management address (NSIP)", k.method, base, k.path)
}

// foreign: something other than NITRO answers in its place.
func (e *Error) foreign() bool {
	return e != nil && e.Code == 0 && !e.busy() && e.Status != http.StatusUnauthorized && (e.Status < 300 || e.Status >= 400)
}

var (
	htmlHead = regexp.MustCompile(`(?is)<(head|script|style)\b.*?</(head|script|style)>`)
	htmlTag  = regexp.MustCompile(`<[^>]*>`)
)

// plainText is what a browser would show of an error page.
func plainText(page string) string {
	return html.UnescapeString(htmlTag.ReplaceAllString(htmlHead.ReplaceAllString(page, " "), " "))
}
