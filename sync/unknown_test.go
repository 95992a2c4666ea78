package sync_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

// What is not known is not empty: each case below emptied a group, or said what
// was not so, before members came with their error or not at all.

const rowsType = "servicegroup_servicegroupmember_binding"

// The codes of refusals that a read may meet in the middle of a pass.
var refusals = []int{257, 258, 278, 354, 1043, 1044, 1095, 1240, 2138}

// A member list is made from a read; one that is refused, or that lost members
// on its way, makes none.
func TestAListIsNeverMadeFromWhatWasNotRead(t *testing.T) {
	spoilt := map[string]simulator.Fault{
		"the members left out": {Status: 200, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`},
		"null":                 {Status: 200, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE", "` + rowsType + `": null }`},
		"a null row":           {Status: 200, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE", "` + rowsType + `": [ null ] }`},
		"an empty list":        {Status: 200, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE", "` + rowsType + `": [ ] }`},
	}
	for _, code := range refusals {
		spoilt[fmt.Sprint("refused with ", code)] = simulator.Fault{Code: code}
	}
	for name, fault := range spoilt {
		for _, to := range []int{5, 3} { // scale up, and down
			for skip := 0; skip <= 3; skip++ { // the plan's read is the first
				t.Run(fmt.Sprintf("%s, to %d, read %d", name, to, skip), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						st := stage{"shop": known(hosts(1, 4))}
						s := apiSite(t, st, atOnce, simulator.Options{}, apiGroup, "bind serviceGroup sg-shop 10.0.0.99 80 -state DISABLED")
						s.Apps[0].Policy.Only = nil
						s.sync(0)
						before := s.members("sg-shop")
						st["shop"] = known(hosts(1, to))
						fault := fault
						fault.Method, fault.Type, fault.Skip, fault.Times = "GET", rowsType, skip, 1
						s.sims["edge"].SetFault(fault)
						r := s.Sync(t.Context(), nil)
						fired := false
						for _, c := range s.sims["edge"].Calls() {
							fired = fired || fault.Code != 0 && c.Code == fault.Code && c.Type == rowsType
						}
						for _, e := range hosts(1, min(to, 4)) {
							if !strings.Contains(s.members("sg-shop"), e.Addr.String()) {
								t.Errorf("%v left: %s, before %s", e.Addr, s.members("sg-shop"), before)
							}
						}
						if !strings.Contains(s.members("sg-shop"), "10.0.0.99:80 OUT OF SERVICE") {
							t.Errorf("the operator's member: %s", s.members("sg-shop"))
						}
						if fired && r.Exit(false) == 0 && fault.Code != 0 && skip < 3 {
							t.Errorf("exit 0 after a refused read: %s", r.Summary())
						}
						_ = s.Close(t.Context()) // a session that a code declared dead cannot be ended
						time.Sleep(11 * time.Minute)
						s.sims["edge"].ClearFaults()
						s.sync(0)
						s.expect("sg-shop", bound(1, to)+", 10.0.0.99:80 OUT OF SERVICE")
					})
				})
			}
		}
	}
}

// A look that is refused says nothing about who is UP: the members that serve
// stay until their successors do.
func TestARefusedLookRemovesNothing(t *testing.T) {
	for _, code := range []int{257, 258, 1043, 2138} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 4))}
			p := atOnce
			p.WaitUp, p.MaxRemove = 10*time.Second, sync.Limit{N: 100, Percent: true}
			s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
			sim := s.replace("edge", simulator.Options{ProbeDelay: time.Minute})
			sim.AddGroup("sg-shop")
			s.sync(0)
			time.Sleep(2 * time.Minute)
			st["shop"] = known(hosts(5, 8))
			sim.SetFault(simulator.Fault{Method: "GET", Type: rowsType, Code: code, Skip: 1})
			r := s.Sync(t.Context(), nil)
			s.expect("sg-shop", bound(1, 8))
			if err := r.Outcomes[0].Done[len(r.Outcomes[0].Done)-1].Err; err == nil || !strings.Contains(err.Error(), "it is not known whether its successors are UP") {
				t.Errorf("%d: %v", code, err)
			}
			s.end(r, sync.ExitFailed)
		})
	}
}

// An unbind whose answer was lost and that could not be looked at was not made,
// as far as anybody knows.
func TestALostAnswerThatCannotBeLookedAtIsNotASuccess(t *testing.T) {
	for _, code := range []int{257, 258, 1043, 2138} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 4))}
			s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
			s.sync(0)
			st["shop"] = known(hosts(1, 3))
			sim := s.sims["edge"]
			sim.SetFault(simulator.Fault{Method: "DELETE", DropBefore: true})
			sim.SetFault(simulator.Fault{Method: "GET", Type: rowsType, Code: code, Skip: 1})
			r := s.Sync(t.Context(), nil)
			s.expect("sg-shop", bound(1, 4))
			if r.Exit(false) != sync.ExitFailed || strings.Contains(r.Summary(), "unbound") {
				t.Errorf("%d: %s", code, r.Summary())
			}
			sim.ClearFaults()
			_ = s.Close(t.Context())
		})
	}
}

// A member that the NetScaler says it has already is looked for before anything
// goes; if it is not there, nothing does.
func TestWhatIsBelievedIsSeenBeforeSomethingIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 5))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		st["shop"] = known(hosts(2, 6))
		s.sims["edge"].SetFault(simulator.Fault{Method: "PUT", Type: rowsType, Code: 273, Status: http.StatusConflict, Message: "Resource already exists"})
		r := s.Sync(t.Context(), nil)
		s.expect("sg-shop", bound(1, 5))
		s.end(r, sync.ExitFailed)
		s.sims["edge"].ClearFaults()
		s.sync(0)
		s.expect("sg-shop", bound(2, 6))
	})
}

// A server is removed only if its own row says that nothing uses it, and not if
// the pass has read it as bound elsewhere.
func TestAServerWhoseBindingsAreNotKnownStays(t *testing.T) {
	for name, body := range map[string]string{
		"no list":         `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`,
		"another's row":   `{ "errorcode": 0, "message": "Done", "severity": "NONE", "server_binding": [ { "name": "10.0.0.7" } ] }`,
		"a row of nobody": `{ "errorcode": 0, "message": "Done", "severity": "NONE", "server_binding": [ { } ] }`,
		"null":            `{ "errorcode": 0, "message": "Done", "severity": "NONE", "server_binding": null }`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4))}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: tidy(atOnce)})
				s.command("add serviceGroup other HTTP", "bind serviceGroup other 10.0.0.4 8080")
				s.sync(0)
				st["shop"] = known(hosts(1, 3))
				s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: "server_binding", Status: 200, RawBody: body})
				s.end(s.Sync(t.Context(), nil), sync.ExitFailed)
				s.expect("other", "10.0.0.4:8080")
			})
		})
	}
}

// A row that cannot be understood is not a foreign member: nothing is known of
// its group, and that is a failure.
func TestANullRowIsNotAForeignMember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: rowsType, Status: 200, Times: 1,
			RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE", "` + rowsType + `": [ null, null ] }`})
		s.end(s.Sync(t.Context(), nil), sync.ExitFailed)
		s.expect("sg-shop", bound(1, 2))
	})
}

// A member for all ports is not ours, however its port is shown.
func TestAMemberForAllPortsIsNotOurs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.command("bind serviceGroup sg-shop 10.0.0.9 *")
		s.sync(0)
		s.expect("sg-shop", bound(1, 2)+", 10.0.0.9:65535")
		if p := s.Plan(t.Context(), nil).Outcomes[0].Plan; len(p.NotOurs) != 1 || len(p.Changes) != 0 {
			t.Errorf("%+v", p)
		}
	})
}

// A member whose server stands for a domain name is known as not ours when the
// plan is made, also where its row shows an address.
func TestAResolvedDomainIsNotOursInThePlan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.command("add server db 10.0.0.9", "bind serviceGroup sg-shop db 80")
		s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: "server", Status: 200,
			RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE", "server": [ { "name": "db", "domain": "db.example.com" } ] }`})
		for range 2 {
			if p := s.Plan(t.Context(), nil).Outcomes[0].Plan; len(p.NotOurs) != 1 || strings.Contains(fmt.Sprint(p.Changes), "10.0.0.9") {
				t.Errorf("%+v", p)
			}
			s.sync(0)
			s.expect("sg-shop", bound(1, 2)+", 10.0.0.9:80")
		}
	})
}

// A read that shows no members although there are some makes a plan to bind them
// all. The list that follows leaves what an operator disabled as it is. (Found by
// the seeded walk, 301072.)
func TestAListDoesNotEnableWhatItOnlyWantedToBind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := apiSite(t, st, atOnce, simulator.Options{}, apiGroup)
		s.sync(0)
		s.command("disable serviceGroup sg-shop 10.0.0.2 80")
		s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: rowsType, Status: 200, Times: 1, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`})
		r := s.Sync(t.Context(), nil)
		disabled := "10.0.0.1:80, 10.0.0.2:80 OUT OF SERVICE, 10.0.0.3:80, 10.0.0.4:80"
		s.expect("sg-shop", disabled)
		s.end(r, sync.ExitFailed)
		s.sync(0)
		s.expect("sg-shop", disabled)
	})
}

// A look that lacks the members just bound is not a look: those that serve stay.
func TestALookThatLacksWhatWasBoundRemovesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		p := atOnce
		p.WaitUp, p.MaxRemove = 10*time.Second, sync.Limit{N: 100, Percent: true}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		sim := s.replace("edge", simulator.Options{ProbeDelay: time.Minute})
		sim.AddGroup("sg-shop")
		s.sync(0)
		time.Sleep(2 * time.Minute)
		st["shop"] = known(hosts(5, 8))
		sim.SetFault(simulator.Fault{Method: "GET", Type: rowsType, Skip: 1, Status: 200, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`})
		r := s.Sync(t.Context(), nil)
		s.expect("sg-shop", bound(1, 8))
		s.end(r, sync.ExitFailed)
	})
}

// A group that does not match its list, as when another copy's came in between, is
// given one more in the same pass.
func TestAListThatWasOvertakenIsGivenOnceMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := apiSite(t, st, atOnce, simulator.Options{}, apiGroup)
		s.sync(0)
		st["shop"] = known(hosts(1, 5))
		s.sims["edge"].SetFault(simulator.Fault{Method: "PUT", Type: "servicegroup_servicegroupmemberlist_binding", Times: 1, Status: 200,
			RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`})
		s.sync(0)
		s.expect("sg-shop", bound(1, 5))
	})
}

// A service group that does not exist is mostly misspelt: the error names the one
// that is meant, whether groups are read one by one or all at once.
func TestAMissingGroupNamesTheNearest(t *testing.T) {
	for _, more := range []int{0, 5} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 2))}
			apps := []sync.App{{Name: "shop", Group: "sg-shpo"}}
			conf := []string{"add serviceGroup sg-shop HTTP", "add serviceGroup sg-cart HTTP"}
			for i := range more {
				name := fmt.Sprintf("other%d", i)
				st[name] = known(hosts(1, 1))
				apps = append(apps, sync.App{Name: name, Group: name})
				conf = append(conf, "add serviceGroup "+name+" HTTP", "bind serviceGroup "+name+" 10.0.0.1 80")
			}
			s := newSite(t, players{"prod": st.play}, apps...)
			s.replace("edge", simulator.Options{})
			s.command(conf...)
			r := s.sync(1)
			if got := fmt.Sprint(r.Outcomes[0].Err); !strings.HasSuffix(got, `service group sg-shpo: no such service group; create it, or correct its name in the mapping; did you mean "sg-shop"?`) {
				t.Error(got)
			}
		})
	}
}

// All traffic domains share the names of servers. Where a server of another domain
// has the name that an address's would get, the app says what to do about it, and
// what is bound is never the other domain's server.
func TestAnAddressOfTwoTrafficDomains(t *testing.T) {
	for _, autoscale := range []string{"", " -autoScale API"} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 2))}
			s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
			s.replace("edge", simulator.Options{})
			s.command("add serviceGroup sg-other HTTP", "bind serviceGroup sg-other 10.0.0.1 80", "add serviceGroup sg-shop HTTP -td 7"+autoscale)
			for range 2 {
				r := s.sync(1)
				s.expect("sg-shop", "10.0.0.2:80")
				if got := fmt.Sprint(r.Outcomes[0].Done[0].Err); !strings.Contains(got, "add a server for it under another name, such as: add server 10.0.0.1-td7 10.0.0.1 -td 7") {
					t.Errorf("%q: %s", autoscale, got)
				}
			}
			s.command("add server 10.0.0.1-td7 10.0.0.1 -td 7")
			s.sync(0)
			s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80")
			for _, m := range s.sims["edge"].Members("sg-shop") {
				if m.Server == "10.0.0.1" {
					t.Errorf("%q: the server of another traffic domain is bound", autoscale)
				}
			}
			// And the other way round: the name of an address of the default domain
			// is that of a server elsewhere.
			s.command("add server 10.0.0.3 10.0.0.3 -td 7", "unbind serviceGroup sg-other 10.0.0.1 80")
			s.Apps[0].Group = "sg-other"
			st["shop"] = known(hosts(3, 3))
			r := s.sync(1)
			if got := fmt.Sprint(r.Outcomes[0].Done[0].Err); !strings.HasSuffix(got, "such as: add server 10.0.0.3-td0 10.0.0.3") {
				t.Errorf("%s", got)
			}
		})
	}
}
