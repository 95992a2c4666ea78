package netscaler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// session is a log-in on one node. It does not change once it is in use, but
// for what is known of the node's role.
type session struct {
	base   string // the URL of the node
	id     string
	cookie string // that presents it
	role   role
}

// refusal remembers a refused log-in: of which password, and when.
type refusal struct {
	password [sha256.Size]byte
	at       time.Time
	err      error
}

// loginPause is how long a refused password is not tried again. Three tries a
// pass would lock the user out within a minute.
const loginPause = 10 * time.Minute

// sessionError keeps what kept a session from beginning apart from what the
// call itself met: it says nothing of the call's object.
type sessionError struct{ error }

func (e sessionError) Unwrap() error { return e.error }

// within runs f in the session, and once more in a new one if the first turns
// out to be dead. Of a pair the new one may be on the other node; what is
// movable moves there also if its node cannot be reached. What was planned does
// not move: see mayWrite.
func (c *Client) within(ctx context.Context, movable bool, f func(*session) error) error {
	first, err := c.enter(ctx, nil)
	if err != nil {
		return sessionError{err}
	}
	err = f(first)
	if !sessionDead(err) && !(c.unreachable(err) && movable) {
		return err
	}
	s, err := c.enter(ctx, first)
	if err != nil {
		return sessionError{err}
	}
	return f(s)
}

// unreachable: the node of a pair cannot be reached, and the other may be.
func (c *Client) unreachable(err error) bool {
	var (
		e       *Error
		outside sessionError
	)
	return c.pair() && errors.Is(err, ErrUnavailable) && !errors.As(err, &e) && !errors.As(err, &outside)
}

func (c *Client) pair() bool { return len(c.cfg.URLs) > 1 }

// enter is the client's session, or a new one if there is none or it is the
// one that turned out dead.
func (c *Client) enter(ctx context.Context, dead *session) (*session, error) {
	if err := c.take(ctx); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	defer c.give()
	if c.session == dead {
		c.session = nil
	}
	if c.session != nil && c.pair() && !c.primaryStill(ctx) {
		c.session = nil
	}
	if c.session == nil {
		s, err := c.begin(ctx)
		if err != nil {
			return nil, err
		}
		c.session = s
	}
	return c.session, nil
}

// begin starts a session on the appliance, or on the node of the pair that is
// the primary.
func (c *Client) begin(ctx context.Context) (*session, error) {
	var failed error
	for i, base := range c.cfg.URLs {
		s, err := c.beginOn(ctx, base, i < len(c.cfg.URLs)-1)
		if err == nil {
			return s, nil
		}
		if failed == nil {
			failed = err
		} else {
			failed = fmt.Errorf("no node of the pair can be used: %w; %w", failed, err)
		}
		// A pair has one set of users: the other node would count this as
		// another wrong password.
		if errors.Is(err, ErrLogin) || ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

func (c *Client) beginOn(ctx context.Context, base string, impatient bool) (*session, error) {
	s, err := c.login(ctx, base, impatient)
	if err != nil {
		return nil, err
	}
	partition := c.cfg.Partition != ""
	if c.pair() || partition { // in a partition the role cannot be asked
		err = c.askRole(ctx, s)
	}
	if partition && (err == nil || !c.pair()) {
		err = c.switchPartition(ctx, s)
	} else if !c.pair() {
		err = nil // reading goes on on a secondary; writes are refused
	}
	if err == nil {
		return s, nil
	}
	c.drop(ctx, s)
	return nil, err
}

// primaryStill says whether the session of a pair is still one on the primary:
// sessions may outlive a failover, and what a secondary has is not what is
// served. It asks if the last answer is older than 30 s, and ends a session
// that is of no more use. The caller has the turn.
func (c *Client) primaryStill(ctx context.Context) bool {
	s := c.session
	at, err := s.role.known()
	if time.Since(at) < roleKept {
		return err == nil
	}
	if c.cfg.Partition == "" { // in a partition it takes a new session to ask
		if err = c.askRole(ctx, s); err == nil || ctx.Err() != nil {
			return true
		}
		c.log.WarnContext(ctx, "the node is left", "netscaler", s.base, "error", err)
	}
	c.drop(ctx, s)
	return false
}

// drop ends a session that is not used any more.
func (c *Client) drop(ctx context.Context, s *session) {
	if err := c.end(ctx, s); err != nil {
		c.log.WarnContext(ctx, "a session was left behind", "netscaler", s.base, "error", err)
	}
}

// login begins a session ("NITRO documentation, log on"). It is one try unless
// the appliance is busy: a refused password is kept in mind.
func (c *Client) login(ctx context.Context, base string, impatient bool) (*session, error) {
	password, err := c.cfg.Password.Reveal()
	if err != nil {
		return nil, fmt.Errorf("log in to %s: %w", base, err)
	}
	sum := sha256.Sum256([]byte(password))
	if until := c.refusal.at.Add(loginPause); c.refusal.err != nil && sum == c.refusal.password && time.Now().Before(until) {
		return nil, fmt.Errorf("%w; not tried again before the password changes, or %s", c.refusal.err, until.Format(time.TimeOnly))
	}
	a, err := c.send(ctx, &session{base: base}, &call{
		method: http.MethodPost, path: "config/login", limit: c.cfg.Timeout,
		own: true, harmless: true, impatient: impatient, secret: password,
		body: map[string]any{"login": map[string]string{"username": c.cfg.Username, "password": password}},
	})
	var e *Error
	if errors.As(err, &e) && e.badLogin() {
		c.refusal = refusal{sum, time.Now(), fmt.Errorf("log in to %s as %q: %w: %w", base, c.cfg.Username, ErrLogin, err)}
		return nil, c.refusal.err
	}
	if err != nil {
		return nil, fmt.Errorf("log in to %s as %q: %w", base, c.cfg.Username, err)
	}
	c.refusal = refusal{}
	if a.session == "" {
		return nil, fmt.Errorf("log in to %s as %q: the answer holds no session", base, c.cfg.Username)
	}
	cookie := "NITRO_AUTH_TOKEN=" + url.QueryEscape(a.session)
	if c.cfg.Instance.IsValid() {
		cookie = a.consoleCookie()
	}
	return &session{base: base, id: a.session, cookie: cookie}, nil
}

// badLogin: the username or password is wrong. A 401 without a NITRO code is
// the web server's way to say so.
func (e *Error) badLogin() bool {
	switch e.Code {
	case codeBadLogin, codeBadLogin2, codeLoginFailed:
		return true
	case 0:
		return e.Status == http.StatusUnauthorized
	}
	return false
}

// logout ends the client's session, if it has one. The caller has the turn.
func (c *Client) logout(ctx context.Context) error {
	s := c.session
	if s == nil {
		return nil
	}
	c.session = nil
	return c.end(ctx, s)
}

func (c *Client) end(ctx context.Context, s *session) error {
	which := map[string]string{}
	if c.cfg.Instance.IsValid() {
		which["sessionid"] = s.id
	}
	_, err := c.send(ctx, s, &call{
		method: http.MethodPost, path: "config/logout", limit: c.cfg.Timeout, own: true, harmless: true, impatient: true,
		body: map[string]any{"logout": which},
	})
	if err != nil && !sessionDead(err) {
		return fmt.Errorf("log out of %s: %w", s.base, err)
	}
	return nil
}

// switchPartition changes what the session sees, and nothing on the appliance
// ("NITRO documentation, nspartition"); a read-only client does it too.
func (c *Client) switchPartition(ctx context.Context, s *session) error {
	_, err := c.send(ctx, s, &call{
		method: http.MethodPost, path: "config/nspartition?action=Switch", limit: c.cfg.Timeout, harmless: true,
		body: map[string]any{"nspartition": map[string]string{"partitionname": c.cfg.Partition}},
	})
	if err != nil {
		return fmt.Errorf("switch to the partition %s: %w", c.cfg.Partition, err)
	}
	return nil
}
