package netscaler

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"nitrox/sources/bounds"
	"nitrox/sources/nearest"
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
	first, err := c.enter(ctx)
	if err != nil {
		return sessionError{err}
	}
	err = f(first)
	if !sessionDead(err) && !(c.unreachable(err) && movable) {
		return err
	}
	// A page with a 401 may be of something in between, and the session alive.
	var e *Error
	ended := sessionDead(err) && errors.As(err, &e) && e.Code != 0
	s, err := c.renew(ctx, first, ended)
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

// enter is the client's session, or a new one if there is none.
func (c *Client) enter(ctx context.Context) (*session, error) { return c.renew(ctx, nil, false) }

// renew is the client's session, or a new one if there is none or it is old. An
// old one that has not ended is ended first.
func (c *Client) renew(ctx context.Context, old *session, ended bool) (*session, error) {
	if err := c.take(ctx); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	defer c.give()
	if old != nil && c.session == old {
		c.session = nil
		if !ended {
			c.drop(ctx, old)
		}
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
		c.log.WarnContext(ctx, "the node is no longer used", "netscaler", s.base, "error", err)
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
// the appliance is busy or was not reached: a refused password, and an answer
// that was lost, are kept in mind.
func (c *Client) login(ctx context.Context, base string, impatient bool) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("log in to %s: not sent: %w", base, err)
	}
	password, err := c.cfg.Password.Reveal()
	if err != nil {
		return nil, fmt.Errorf("log in to %s: %w", base, err)
	}
	sum := sha256.Sum256([]byte(password))
	if until := c.refusal.at.Add(loginPause); c.refusal.err != nil && sum == c.refusal.password && time.Now().Before(until) {
		return nil, fmt.Errorf("%w; not tried again before the password changes, or %s", c.refusal.err, until.Format(time.TimeOnly))
	}
	if before := c.lost[base]; time.Now().Before(before.until) {
		return nil, fmt.Errorf("%w; it may have opened a session anyway, so it is not tried again before %s", before.err, before.until.Format(time.TimeOnly))
	}
	if err := c.endLeft(ctx, base); err != nil {
		return nil, fmt.Errorf("log in to %s: the session left there must end first: %w", base, err)
	}
	s, err := c.askForSession(ctx, base, impatient, password)
	var e *Error
	if errors.As(err, &e) && e.badLogin() {
		c.refusal = refusal{sum, time.Now(), fmt.Errorf("log in to %s as %q: %w: %w", base, c.cfg.Username, ErrLogin, err)}
		return nil, c.refusal.err
	}
	if err != nil {
		err = fmt.Errorf("log in to %s as %q: %w", base, c.cfg.Username, err)
		if errors.As(err, new(lostAnswer)) {
			c.lost[base] = lostLogin{time.Now().Add(lostPause), err}
		}
		return nil, err
	}
	c.refusal = refusal{}
	delete(c.lost, base)
	return s, nil
}

// askForSession logs in, and asks that the session end soon if it is lost. Not
// every build, nor every policy, lets a client ask for that. A Console is not
// asked: its sessions are its own matter.
func (c *Client) askForSession(ctx context.Context, base string, impatient bool, password string) (*session, error) {
	body := map[string]any{"username": c.cfg.Username, "password": password}
	if c.noLife.Load() || c.cfg.Instance.IsValid() {
		return c.tryLogin(ctx, base, impatient, body)
	}
	body["timeout"] = int(c.cfg.life().Seconds())
	s, err := c.tryLogin(ctx, base, impatient, body)
	if e := refused(err); e == nil || !e.noLife() {
		return s, err
	}
	why := err
	delete(body, "timeout")
	if s, err = c.tryLogin(ctx, base, impatient, body); err == nil {
		c.noLife.Store(true)
		c.log.WarnContext(ctx, "the NetScaler refuses to limit the lifetime of a session",
			"netscaler", base, "error", why)
	}
	return s, err
}

// noLife: the build does not know the timeout of a log-in, or does not take
// this one.
func (e *Error) noLife() bool {
	return slices.Contains([]int{codeSessionTimeout, codeInvalidArgument, codeNoSuchArgument, codeTooBig, codeTooSmall}, e.Code)
}

// tryLogin sends a log-in. One that is on its way is let end, whatever becomes
// of the caller that happened to need it: given up, it would be a session that
// nobody can end.
func (c *Client) tryLogin(ctx context.Context, base string, impatient bool, login map[string]any) (*session, error) {
	k := &call{
		method: http.MethodPost, path: "config/login", limit: c.loginLimit(),
		own: true, oneTry: true, impatient: impatient,
		body: map[string]any{"login": login},
	}
	a, err := c.send(context.WithoutCancel(ctx), &session{base: base}, k)
	for err != nil && k.more && bounds.Pause(ctx, k.wait) == nil {
		a, err = c.send(context.WithoutCancel(ctx), &session{base: base}, k)
	}
	if a.session == "" {
		switch {
		case err == nil:
			err = lostAnswer{errors.New("the answer contains no session")}
		case k.unsure:
			err = lostAnswer{err}
		}
		return nil, err
	}
	cookie := "NITRO_AUTH_TOKEN=" + url.QueryEscape(a.session)
	if c.cfg.Instance.IsValid() {
		cookie = a.consoleCookie()
	}
	s := &session{base: base, id: a.session, cookie: cookie}
	// What broke off behind the session is a log-in still: a call in it will
	// tell if it was none.
	if err == nil || errors.Is(err, errUnreadable) && a.code == 0 {
		return s, nil
	}
	c.drop(ctx, s)
	return nil, err
}

// lostAnswer is the error of a log-in that may have begun a session of which
// nothing is known.
type lostAnswer struct{ error }

func (e lostAnswer) Unwrap() error { return e.error }

// lostLogin remembers one: until when there is no other.
type lostLogin struct {
	until time.Time
	err   error
}

// lostPause is how long a log-in is not sent again after its answer was lost:
// longer than a pass goes on after that, and long enough for what is lost to
// expire before it fills the appliance, which has room for 20.
const lostPause = 20 * time.Second

// loginMost bounds a log-in, unless the operator's own timeout is longer.
const loginMost = 30 * time.Second

// loginLimit is how long a log-in may take. Where the users are kept elsewhere
// (LDAP, RADIUS, TACACS+) it takes as long as that does.
func (c *Client) loginLimit() time.Duration {
	return max(c.cfg.Timeout, min(3*c.cfg.Timeout, loginMost))
}

// A session that nobody uses should end soon, in case it was lost, but outlive
// the longest pause of a pass (which is over after 5 minutes) or of a loop. The
// least is also the least that an appliance with restricted timeouts takes. The
// most is the appliance's own default: a slower loop logs in again.
const (
	leastLife = 5 * time.Minute
	mostLife  = 30 * time.Minute
)

// life is how long a session may be out of use.
func (c Config) life() time.Duration { return min(max(2*c.Every, leastLife), mostLife) }

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

// leftover is a session that could not be ended, because its node was not
// reached, and when it ends by itself.
type leftover struct {
	*session
	until time.Time
}

// end logs out of a session, also if ctx has ended. One whose node does not
// answer is left for endLeft. The caller has the turn.
func (c *Client) end(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	which := map[string]string{}
	if c.cfg.Instance.IsValid() {
		which["sessionid"] = s.id
	}
	_, err := c.send(ctx, s, &call{
		method: http.MethodPost, path: "config/logout", limit: c.cfg.Timeout, own: true, harmless: true, impatient: true,
		body: map[string]any{"logout": which},
	})
	if err == nil || sessionDead(err) {
		delete(c.left, s.base)
		return nil
	}
	if refused(err) != nil { // and would be again
		delete(c.left, s.base)
	} else if c.left[s.base].session != s {
		c.left[s.base] = leftover{s, time.Now().Add(c.cfg.life())}
	}
	return fmt.Errorf("log out of %s: %w", s.base, err)
}

// endLeft ends what is left on a node, if anything is.
func (c *Client) endLeft(ctx context.Context, base string) error {
	old, ok := c.left[base]
	if !ok {
		return nil
	}
	if !time.Now().Before(old.until) {
		delete(c.left, base)
		return nil
	}
	return c.end(ctx, old.session)
}

// switchPartition changes what the session sees, and nothing on the appliance
// ("NITRO documentation, nspartition"); a read-only client does it too.
func (c *Client) switchPartition(ctx context.Context, s *session) error {
	_, err := c.send(ctx, s, &call{
		method: http.MethodPost, path: "config/nspartition?action=Switch", limit: c.cfg.Timeout, harmless: true,
		body: map[string]any{"nspartition": map[string]string{"partitionname": c.cfg.Partition}},
	})
	var failed *Error
	if errors.As(err, &failed) && failed.Code == codeNoPartition {
		return partitionError{fmt.Errorf("switch to the partition %s: %w; correct its name in the mapping, or create it%s",
			c.cfg.Partition, err, nearest.DidYouMean(c.cfg.Partition, c.partitions(ctx, s)))}
	}
	if err != nil {
		return partitionError{fmt.Errorf("switch to the partition %s: %w", c.cfg.Partition, err)}
	}
	return nil
}

// partitions are the names of the appliance's partitions, for a suggestion; none
// if they cannot be read, which is not what is wrong.
func (c *Client) partitions(ctx context.Context, s *session) (names []string) {
	_, err := c.send(ctx, s, c.short(get("config/nspartition", func(r io.Reader) (reply, error) {
		names = nil
		return decodeReply(r, "nspartition", list(func(dec *bounds.Decoder) (int64, error) {
			var row struct{ PartitionName json.RawMessage }
			err := dec.Decode(&row)
			names = append(names, printable(text(row.PartitionName)))
			return int64(len(row.PartitionName)), err
		}))
	})))
	if err != nil {
		return nil
	}
	return names
}
