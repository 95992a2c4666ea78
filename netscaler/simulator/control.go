package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// control is the endpoint that sets faults and shows what happened, for
// scripts that have no Go:
//
//	POST   /simulator/faults  sets a [Fault], as JSON; a duration is in ns or "1.5s"
//	DELETE /simulator/faults  ends all faults
//	GET    /simulator/calls   the calls; DELETE forgets them
//	GET    /simulator/state   role, sessions, saved, and the members of all groups
//	GET    /simulator/config  the configuration as an ns.conf
//	POST   /simulator/config  carries out commands, as another administrator
//	POST   /simulator/node    {"do": "failover" | "boot" | "kill sessions"} or {"role": "Secondary"}
//	POST   /simulator/health  {"group": "sg", "addr": "10.0.0.1:80", "up": false}
//
// A browser that another site has sent here is refused.
func (s *Simulator) control(r *http.Request, body []byte) *reply {
	if foreign(r) {
		return s.plain(http.StatusForbidden, "the control endpoint is not for pages of other sites")
	}
	switch what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/simulator/"); what {
	case "POST faults":
		return s.done(s.postFault(body))
	case "DELETE faults":
		s.ClearFaults()
		return s.done(nil)
	case "GET calls":
		return s.show(s.Calls())
	case "DELETE calls":
		s.ResetCalls()
		return s.done(nil)
	case "GET state":
		return s.show(s.state())
	case "GET config":
		var b bytes.Buffer
		if err := s.Dump(&b); err != nil {
			return s.done(err)
		}
		return s.newReply(http.StatusOK, "text/plain; charset=utf-8", b.Bytes())
	case "POST config":
		return s.done(s.Load(bytes.NewReader(body)))
	case "POST node":
		return s.done(s.postNode(body))
	case "POST health":
		return s.done(s.postHealth(body))
	default:
		return s.plain(http.StatusNotFound, "the control endpoint has no "+what)
	}
}

// foreign says whether a browser makes the request for a page of another site.
func foreign(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := r.Header.Get("Origin")
	from, err := url.Parse(origin)
	return origin != "" && (err != nil || from.Host != r.Host)
}

func (s *Simulator) plain(status int, text string) *reply {
	return s.newReply(status, "text/plain; charset=utf-8", []byte(text+"\n"))
}

func (s *Simulator) done(err error) *reply {
	if err != nil {
		return s.plain(http.StatusBadRequest, err.Error())
	}
	return s.newReply(http.StatusNoContent, "text/plain; charset=utf-8", nil)
}

func (s *Simulator) show(v any) *reply {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return s.plain(http.StatusInternalServerError, err.Error())
	}
	return s.newReply(http.StatusOK, jsonType, append(b, '\n'))
}

func strict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("text after the object")
	}
	return nil
}

func (s *Simulator) postFault(body []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return fmt.Errorf("read the fault: %w", err)
	}
	for name, raw := range fields {
		if text, err := strconv.Unquote(string(raw)); err == nil && strings.EqualFold(name, "delay") {
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			fields[name] = strconv.AppendInt(nil, int64(d), 10)
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	var f Fault
	if err := strict(body, &f); err != nil {
		return fmt.Errorf("read the fault: %w", err)
	}
	if _, err := arm(f); err != nil {
		return fmt.Errorf("read the fault: %w", err)
	}
	s.SetFault(f)
	return nil
}

func (s *Simulator) postNode(body []byte) error {
	var node struct{ Do, Role string }
	if err := strict(body, &node); err != nil {
		return fmt.Errorf("read the command: %w", err)
	}
	switch {
	case node.Do == "" && (node.Role == rolePrimary || node.Role == roleSecondary):
		s.SetRole(node.Role)
	case node.Role != "":
		return fmt.Errorf("a role is %s or %s, and comes alone", rolePrimary, roleSecondary)
	case node.Do == "failover":
		s.Failover()
	case node.Do == "boot":
		s.Boot()
	case node.Do == "kill sessions":
		s.KillSessions()
	default:
		return fmt.Errorf("unknown command %q: there are failover, boot and kill sessions", node.Do)
	}
	return nil
}

func (s *Simulator) postHealth(body []byte) error {
	var health struct {
		Group string
		Addr  netip.AddrPort
		Up    bool
	}
	if err := strict(body, &health); err != nil {
		return fmt.Errorf("read the health: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(health.Group)
	if g == nil {
		return fmt.Errorf("no service group %q", health.Group)
	}
	s.setUp(g, health.Addr, health.Up)
	return nil
}

type state struct {
	Role     string
	Saved    bool
	Sessions int
	Groups   map[string][]Member
}

func (s *Simulator) state() state {
	out := state{Role: s.Role(), Saved: s.Saved(), Sessions: s.Sessions(), Groups: map[string][]Member{}}
	for _, name := range s.groupNames() {
		out.Groups[name] = s.Members(name)
	}
	return out
}

func (s *Simulator) groupNames() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		prefix := ""
		if p.name != "" {
			prefix = p.name + "/"
		}
		for _, g := range p.groups {
			names = append(names, prefix+g.name)
		}
	}
	return names
}
