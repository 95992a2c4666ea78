package sourcetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
)

// Discover runs the suite on what a source discovers. Query, Absent and BrokenQuery of
// the fixture are selections, of which Absent chooses nothing; found are the objects
// that Query chooses, in the order of their names. Want is not given.
func Discover(t *testing.T, f Fixture, found ...sources.Found) {
	t.Run("selections", func(t *testing.T) {
		d := f.serve(t, f.Handler).Discoverer
		chosen := f.Query.(sources.Selection)
		if err := d.CheckSelection(chosen); err != nil {
			t.Errorf("%+v is refused: %v", chosen, err)
		}
		for _, text := range []string{"", " ", "nitrox!=off", "!nitrox", "nitrox in (", "nitrox.io/port=80"} {
			chosen.Select = text
			var key *sources.KeyError
			if err := d.CheckSelection(chosen); !errors.As(err, &key) || key.Key != "select" {
				t.Errorf("select %q: %v; want a problem with select", text, err)
			}
		}
		if all, err := d.Discover(t.Context(), []sources.Selection{f.Query.(sources.Selection)}); err != nil {
			t.Error(err)
		} else if all, err := all[0].All(); err != nil || !slices.EqualFunc(all, found, func(a, b sources.Found) bool { return told(a) == told(b) }) {
			t.Errorf("error %v, found", err)
			for i := range max(len(all), len(found)) {
				if i < len(all) {
					t.Error("got ", told(all[i]))
				}
				if i < len(found) {
					t.Error("want", told(found[i]))
				}
			}
		}
	})
	f.Open = Discovering(f.Open)
	f.Want = standIns(found)
	Run(t, f)
}

// Discovering makes of a source one whose queries are selections, and whose endpoints
// stand for the objects that they choose, so that the suites can be run on it.
func Discovering(open func(t *testing.T, url string) sources.Opened) func(t *testing.T, url string) sources.Opened {
	return func(t *testing.T, url string) sources.Opened {
		d := open(t, url).Discoverer
		if d == nil {
			t.Fatal("no app can opt in to the source")
		}
		return sources.Opened{
			Poll: func(ctx context.Context, queries []any, _ bool) ([]sources.Answer, error) {
				all, err := d.Discover(ctx, selections(queries))
				if err != nil {
					if len(all) > 0 {
						t.Errorf("findings beside the error %v", err)
					}
					return nil, err
				}
				answers, unknown := make([]sources.Answer, len(queries)), 0
				for i := range answers {
					found, failed := all[i].All()
					err = failed
					switch {
					case err != nil:
						unknown++
					case len(found) == 0:
						err = sources.ErrAbsent
					}
					for _, f := range found {
						err = errors.Join(err, f.Doubt)
					}
					answers[i] = sources.NewAnswer(standIns(found), nil, err)
				}
				if unknown > 0 && unknown == len(queries) {
					return nil, err
				}
				return answers, nil
			},
			Watch: func(ctx context.Context, queries []any, changed func([]int)) error {
				return d.WatchFound(ctx, selections(queries), func() { changed(nil) })
			},
		}
	}
}

func selections(queries []any) (all []sources.Selection) {
	for _, q := range queries {
		all = append(all, q.(sources.Selection))
	}
	return all
}

// standIns are endpoints that differ wherever objects do.
func standIns(found []sources.Found) (all []sources.Endpoint) {
	for _, f := range found {
		if f.Doubt == nil {
			sum := sha256.Sum256([]byte(told(f)))
			sum[0] = 0xfd
			all = append(all, sources.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom16([16]byte(sum[:16])), 80)})
		}
	}
	return all
}

// told is all that an object says, as text.
func told(f sources.Found) string {
	text := fmt.Sprintf("%q %q %s %v %q", f.Namespace, f.Name, f.What, f.Settings, f.Ports)
	if f.Doubt != nil {
		return text + " doubt"
	}
	for _, port := range append(f.Ports, "") {
		q, err := f.Query(port, "")
		text += fmt.Sprintf(" %+v %v", q, err)
	}
	return strings.TrimSpace(text)
}
