package netscaler

import (
	"errors"
	"strings"
	"time"
)

// CallInfo is one try of a call to NITRO and how it ended. It holds no names
// and no values: it is made to be counted.
type CallInfo struct {
	// Kind is "login", "logout", or a verb and a type in NITRO's own words:
	// "get servicegroup_servicegroupmember_binding", "enable servicegroup",
	// "save nsconfig".
	Kind string
	// Outcome is "ok"; "busy", the appliance may do it later; "expired", the
	// session had died; "refused", NITRO said no; or "lost", there was no
	// answer, or none of NITRO.
	Outcome string
	// Took is from sending to the end of the answer.
	Took time.Duration
}

// Node is the URL of the node that members were last read from, which is where what is
// planned from them is written; "": none was.
func (c *Client) Node() string {
	if s := c.members.Load(); s != nil {
		return s.base
	}
	return ""
}

// observe tells whoever wants to know how a try ended.
func (c *Client) observe(k *call, err error) {
	if c.cfg.Observe != nil {
		c.cfg.Observe(CallInfo{Kind: k.kind(), Outcome: outcome(err), Took: time.Since(k.tried)})
	}
}

// kind is the call without the names that it carries.
func (k *call) kind() string {
	path, query, _ := strings.Cut(k.path, "?")
	_, what, _ := strings.Cut(path, "/") // behind config or stat
	what, _, _ = strings.Cut(what, "/")
	if what == "login" || what == "logout" {
		return what
	}
	verb := strings.ToLower(k.method)
	if action, ok := strings.CutPrefix(query, "action="); ok {
		verb = strings.ToLower(action)
	}
	return verb + " " + what
}

func outcome(err error) string {
	var e *Error
	switch {
	case err == nil, errors.Is(err, errDear):
		return "ok"
	case sessionDead(err):
		return "expired"
	case !errors.As(err, &e), e.broken():
		return "lost"
	case e.busy():
		return "busy"
	}
	return "refused"
}
