package sync_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// servers are those of the first NetScaler.
func (s *site) servers() string {
	var names []string
	for _, line := range strings.Split(s.config(), "\n") {
		if name, ok := strings.CutPrefix(line, "add server "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	return strings.Join(names, " ")
}

func tidy(p sync.Policy) sync.Policy {
	p.CleanServers = true
	return p
}

// Servers that binding an address made go with their last member; any other
// stays. One that a group uses which the pass has read is not even asked about.
func TestServersThatNothingUsesAreRemovedIfAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 6)), "cart": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: tidy(atOnce)}, sync.App{Name: "cart", Policy: atOnce})
		s.command("add serviceGroup other HTTP", "add server web4 10.0.0.4", "bind serviceGroup other 10.0.0.3 8080")
		s.sync(0)
		if got := s.servers(); got != "web4 10.0.0.3 10.0.0.1 10.0.0.2 10.0.0.5 10.0.0.6" {
			t.Fatalf("servers %s", got)
		}
		st["shop"] = known(hosts(2, 2))
		st["shop"] = known(append(hosts(2, 2), hosts(6, 6)...))
		want := `shop: sg-shop on edge: 6 serving, 2 wanted
  - unbind   10.0.0.1:80            no longer an endpoint
  - unbind   10.0.0.3:80            no longer an endpoint
  - unbind   10.0.0.4:80            no longer an endpoint
  - unbind   10.0.0.5:80            no longer an endpoint
  - server 10.0.0.3, if nothing else uses it
  - server 10.0.0.5, if nothing else uses it
cart: sg-cart on edge: 2 serving, in step
plan: 4 to unbind, 2 servers to remove if unused (2 service groups: 1 in step, 1 to change)
`
		if got := plain(t, sync.Text, s.Plan(t.Context(), nil)); got != want {
			t.Errorf("\n%s", got)
		}
		r := s.sync(0)
		if got := s.servers(); got != "web4 10.0.0.3 10.0.0.1 10.0.0.2 10.0.0.6" {
			t.Errorf("servers %s", got)
		}
		if got := strings.Join(r.Outcomes[0].Notes, "\n"); strings.Count(got, "kept, because something still uses it") != 1 || !strings.Contains(got, "remove server 10.0.0.3: ") {
			t.Errorf("notes:\n%s", got)
		}
		if tally := r.Tally(); tally[netscaler.RemoveServer] != (sync.Tally{Planned: 1, Made: 1}) {
			t.Errorf("%+v", tally)
		}
		// By default they stay.
		st["cart"] = known(hosts(2, 2))
		s.sync(0)
		if got := s.servers(); got != "web4 10.0.0.3 10.0.0.1 10.0.0.2 10.0.0.6" {
			t.Errorf("servers %s", got)
		}
	})
}

// A node goes, and with it a member of each of two apps.
func TestTheServerOfANodeGoesOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cart := hosts(1, 2)
		for i := range cart {
			cart[i].Addr = addr(cart[i].Addr.Addr().String() + ":81")
		}
		st := stage{"shop": known(hosts(1, 2)), "cart": known(cart)}
		p := slowly
		p.CleanServers = true
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p}, sync.App{Name: "cart", Policy: p})
		s.sync(0)
		st["shop"], st["cart"] = known(hosts(1, 1)), known(cart[:1])
		r := s.sync(0)
		if n := r.Tally()[netscaler.RemoveServer].Planned; n != 0 {
			t.Errorf("%d servers to remove while their members drain", n)
		}
		time.Sleep(31 * time.Second)
		r = s.sync(0)
		if got := s.servers(); got != "10.0.0.1" {
			t.Errorf("servers %s", got)
		}
		if tally := r.Tally(); tally[netscaler.RemoveServer] != (sync.Tally{Planned: 1, Made: 1}) {
			t.Errorf("%+v", tally)
		}
	})
}

func TestWhereUnbindingFailsTheServerStays(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"the unbind is refused":  {Command: "^unbind serviceGroup sg-shop 10.0.0.2", Code: 1043},
		"the removal is refused": {Command: "^rm server", Code: 2138, Message: "Not authorized to execute this command [rm server 10.0.0.2]"},
		"the look is refused":    {Method: "GET", Type: "server_binding", Code: 2138, Message: "Not authorized to execute this command [show server 10.0.0.2]"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 2))}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: tidy(atOnce)})
				s.sync(0)
				st["shop"] = known(hosts(1, 1))
				s.sims["edge"].SetFault(fault)
				r := s.sync(1)
				if got := s.servers(); got != "10.0.0.1 10.0.0.2" {
					t.Errorf("servers %s", got)
				}
				if text := plain(t, sync.Text, r); name != "the unbind is refused" && !strings.Contains(text, "must allow \"") {
					t.Errorf("\n%s", text)
				}
			})
		})
	}
}

// What the plan itself keeps, drains, holds or binds is not even asked about.
func TestAServerWithAnotherMemberIsNotInThePlan(t *testing.T) {
	on := func(addrs ...string) sources.Answer {
		var es []sources.Endpoint
		for _, s := range addrs {
			es = append(es, sources.Endpoint{Addr: addr(s)})
		}
		return known(es)
	}
	for name, c := range map[string]struct {
		before, after sources.Answer
		conf          string
		want          string
	}{
		"another port is kept":      {on("10.0.0.1:80", "10.0.0.1:81"), on("10.0.0.1:80"), "", "10.0.0.1"},
		"another port is bound":     {on("10.0.0.1:80", "10.0.0.2:80"), on("10.0.0.1:81", "10.0.0.2:80"), "", "10.0.0.1 10.0.0.2"},
		"an operator's member":      {on("10.0.0.1:80", "10.0.0.2:80"), on("10.0.0.2:80"), "bind serviceGroup sg-shop 10.0.0.1 81 -state DISABLED", "10.0.0.1 10.0.0.2"},
		"both ports go":             {on("10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"), on("10.0.0.2:80"), "", "10.0.0.2"},
		"an IPv6 server, as typed":  {on("10.0.0.1:80"), on("10.0.0.1:80"), "bind serviceGroup sg-shop 2001:DB8:0::1 80", "10.0.0.1"},
		"a server of a proper name": {on("10.0.0.1:80"), on("10.0.0.1:80"), "add server web9 10.0.0.9\nbind serviceGroup sg-shop web9 80", "10.0.0.1 web9"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": c.before}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: tidy(atOnce)})
				s.sync(0)
				if c.conf != "" {
					s.command(c.conf)
				}
				st["shop"] = c.after
				if r := s.sync(0); len(r.Outcomes[0].Notes) != 0 {
					t.Errorf("notes: %q", r.Outcomes[0].Notes)
				}
				got := strings.Fields(s.servers())
				slices.Sort(got)
				if strings.Join(got, " ") != c.want {
					t.Errorf("servers %v, want %s", got, c.want)
				}
			})
		})
	}
}
