package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Trouble is one cause why a pass did not do all that it should, and the apps
// that it harms. Each cause is one Trouble, however many apps it harms.
type Trouble struct {
	// Of is what the cause is a matter of.
	Of TroubleOf
	// Name is the source's, the NetScaler's or the file's; empty for apps.
	Name string
	// What happened, in a few words: "failed", "bind failed", "in doubt, nothing
	// is removed".
	What string
	// Cause is why, fit to print; empty if What says it all.
	Cause string
	// Places are harmed by it, in the order of the mapping.
	Places []Place
	// Members are what could not be changed, where that is the trouble.
	Members []string
	// Held: nothing failed, but a guard holds removals.
	Held bool
}

// Place is an app on a NetScaler.
type Place struct{ App, NetScaler string }

// Apps are the names of the apps that it harms, each once.
func (t Trouble) Apps() (apps []string) {
	for _, p := range t.Places {
		if !slices.Contains(apps[max(0, len(apps)-1):], p.App) {
			apps = append(apps, p.App)
		}
	}
	return apps
}

// appsOn are those on one NetScaler.
func (t Trouble) appsOn(netscaler string) (apps []string) {
	for _, p := range t.Places {
		if p.NetScaler == netscaler {
			apps = append(apps, p.App)
		}
	}
	return apps
}

// TroubleOf is what a trouble is a matter of.
type TroubleOf string

// The kinds of trouble.
const (
	OfSource    TroubleOf = "source"
	OfNetScaler TroubleOf = "netscaler"
	OfApp       TroubleOf = "app"
	OfFile      TroubleOf = "file" // of the mapping
)

// String is the trouble in one line, without its apps.
func (t Trouble) String() string {
	text := t.What
	if t.Name != "" {
		text = fmt.Sprintf("%s %s %s", t.Of, t.Name, t.What)
	}
	if t.Cause != "" {
		text += ": " + t.Cause
	}
	return text
}

// Troubles are the causes of all that failed, is in doubt or is held in the
// pass, each once: those of NetScalers, of sources, of files, and of single apps.
func (r Result) Troubles() []Trouble {
	var all []*Trouble
	at := map[string]*Trouble{}
	find := func(t Trouble) *Trouble {
		key := fmt.Sprint(t.Of, "\n", t.Name, "\n", t.What, "\n", t.Cause)
		if at[key] == nil {
			at[key] = &t
			all = append(all, &t)
		}
		return at[key]
	}
	harms := func(t Trouble, o Outcome) *Trouble {
		found, p := find(t), o.place()
		if n := len(found.Places); n == 0 || found.Places[n-1] != p {
			found.Places = append(found.Places, p)
		}
		return found
	}
	of := func(kind TroubleOf, what string, errs map[string]error) map[string][]Trouble {
		by := map[string][]Trouble{}
		for _, name := range slices.Sorted(maps.Keys(errs)) {
			for _, err := range split(errs[name]) {
				t := Trouble{Of: kind, Name: name, What: what, Cause: cause(err)}
				find(t)
				by[name] = append(by[name], t)
			}
		}
		return by
	}
	netscalers, sources := of(OfNetScaler, "failed", r.NetScalers), of(OfSource, "failed", r.Sources)
	of(OfFile, "of the mapping cannot be used", r.Files)

	for _, o := range r.Outcomes {
		// ofNetScaler says whether err came of what is wrong with the NetScaler.
		ofNetScaler := func(err error) bool {
			whole := r.NetScalers[o.NetScaler]
			if whole == nil || !errors.Is(whole, err) && !errors.Is(err, errNotReached) {
				return false
			}
			for _, t := range netscalers[o.NetScaler] {
				harms(t, o)
			}
			return true
		}
		if o.Err != nil && !ofNetScaler(o.Err) {
			harms(Trouble{Of: OfApp, What: "not served", Cause: cause(o.Err)}, o)
		}
		for _, doubt := range o.Desired.doubts() {
			of := o.failedSource(doubt, r.Sources)
			if of == "" {
				harms(Trouble{Of: OfApp, What: "in doubt, nothing is removed", Cause: cause(doubt)}, o)
			}
			for _, t := range sources[of] {
				harms(t, o)
			}
		}
		if o.Plan.HeldBy != nil {
			harms(Trouble{Of: OfApp, What: "removals held", Cause: cause(o.Plan.HeldBy), Held: true}, o)
		}
		for _, d := range o.Done {
			switch {
			case !d.Failed(), errors.Is(d.Err, errAddFirst), errors.Is(d.Err, errNotCreated), ofNetScaler(d.Err):
				// made, or not attempted because of another
			case errors.Is(d.Err, errLate):
				harms(Trouble{Of: OfApp, What: "stopped", Cause: errDeadline.Error() + "; the next one makes the rest"}, o)
			case errors.Is(d.Err, errStopped):
				harms(Trouble{Of: OfApp, What: "stopped", Cause: "the run was stopped before everything was done"}, o)
			default:
				t := harms(Trouble{Of: OfApp, What: d.Op.String() + " failed", Cause: cause(inner(d.Err))}, o)
				t.Members = append(t.Members, Subject(*d.Change))
			}
		}
	}
	out := make([]Trouble, len(all))
	for i, t := range all {
		out[i] = *t
	}
	return out
}

// cause is the error as the same cause always reads: without what changes with
// each try.
func cause(err error) string {
	var s *spared
	if errors.As(err, &s) {
		return strings.Replace(text(err), text(s), text(s.err), 1)
	}
	return text(err)
}

// inner is the error of a change without the names of its group and member, so
// that many that fail for one reason are one trouble.
func inner(err error) error {
	if e := errors.Unwrap(err); e != nil {
		return e
	}
	return err
}

// split is what an error joins.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
