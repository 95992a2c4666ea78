package marathon

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nitrox/sources"
)

// weightLabel is the label of an app that gives its endpoints a weight, in percent
// of what the mapping gives them. Marathon itself knows no weights.
const weightLabel = "nitrox.weight"

// found is what an app has for a query, before the names of agents are looked
// up.
type found struct {
	sources.Finding
	candidates []candidate
	weight     int
	protocol   sources.Protocol
}

// candidate is a task that accepts traffic, as far as Marathon knows.
type candidate struct {
	task      string
	at        place
	uncertain string
	facts     string
}

// find works out the endpoints that a query means. now is Marathon's time, and
// elected when its leader was; zero: long ago.
func (a *app) find(q Query, now, elected time.Time) found {
	var f found
	if a.Tasks == nil {
		f.Doubt(errors.New("it is listed without its tasks"))
		return f
	}
	f.weight = a.weight(&f)
	if len(*a.Tasks) == 0 {
		return f // the truth, whatever its ports are
	}
	ports, err := a.ports()
	if err != nil {
		f.Doubt(err)
		return f
	}
	p, protocol, err := choose(ports, q.Port)
	if err != nil {
		f.Doubt(err)
		return f
	}
	f.protocol = protocol
	newLeader := !elected.IsZero() && now.Before(elected.Add(a.firstResults()))
	doomed := a.doomed()
	hostless := 0
	for _, t := range *a.Tasks {
		name := "task " + t.ID
		v := a.judge(t, now, newLeader)
		if v.out == "" && doomed[t.ID] {
			v.out = fmt.Sprintf("the app is being scaled down to %d, %s", *a.Instances, strings.ToLower(strings.ReplaceAll(a.KillSelection, "_", " ")))
		}
		if v.out != "" {
			var addr netip.AddrPort // of an agent that is named by its address
			if at, err := a.place(t, ports, p); err == nil {
				if host, err := netip.ParseAddr(at.host); err == nil && at.port > 0 && at.port <= 65535 {
					addr = netip.AddrPortFrom(host.Unmap(), uint16(at.port))
				}
			}
			f.LeaveAt(addr, name, v.out)
			continue
		}
		switch at, err := a.place(t, ports, p); {
		case errors.Is(err, errHostless):
			hostless++
			f.Leave(name, err.Error())
		case err != nil:
			f.Doubt(fmt.Errorf("%s: %w", name, err))
		default:
			f.candidates = append(f.candidates, candidate{t.ID, at, v.uncertain, a.facts(t)})
		}
	}
	if hostless > 0 && len(f.candidates) == 0 {
		f.Doubt(errors.New("none of its running tasks names its agent"))
	}
	return f
}

// weight is that of the app's label; 0: no opinion.
func (a *app) weight(f *found) int {
	raw, ok := a.Labels[weightLabel]
	if !ok {
		return 0
	}
	text := textOf(raw)
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		f.Leave(fmt.Sprintf("label %s=%s", weightLabel, sources.Excerpt(text)), "a weight is a number from 1 to 100")
		return 0
	}
	return n
}

// answer is the answer once the names of agents were looked up.
func (f found) answer(app string, addresses map[string]netip.Addr, failed map[string]error) sources.Answer {
	for _, c := range f.candidates {
		addr, ok := addresses[c.at.host]
		switch {
		case !ok:
			f.Doubt(fmt.Errorf("task %s: %w", c.task, failed[c.at.host]))
			continue
		case c.at.port < 1 || c.at.port > 65535:
			f.Doubt(fmt.Errorf("task %s: its port %d is not a port number", c.task, c.at.port))
			continue
		}
		e := sources.Endpoint{Addr: netip.AddrPortFrom(addr, uint16(c.at.port)), Protocol: f.protocol, Weight: f.weight,
			Uncertain: c.uncertain, Origin: "task " + c.task, Facts: c.facts}
		if e.Weight > 0 {
			e.Of = 100
		}
		if addr.String() != c.at.host {
			e.Origin += " on " + c.at.host
		}
		f.Add(e)
	}
	if len(f.Doubts) > 0 && !errors.Is(f.Doubts[0], sources.ErrAbsent) {
		f.Doubts[0] = fmt.Errorf("app %s: %w", app, f.Doubts[0])
	}
	return f.Answer()
}
