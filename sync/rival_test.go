package sync_test

import (
	"context"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"nitrox/sync"
)

// Two processes whose mappings have one service group by mistake: neither can know of the other,
// and each says that its changes are undone.
func TestProcessesThatShareAGroupSayThatTheyFight(t *testing.T) {
	for name, drain := range map[string]time.Duration{"at once": 0, "the usual drain": 30 * time.Second, "a long drain": 5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				policy := atOnce
				policy.Drain = drain
				one := newSite(t, players{"prod": (&live{stage: stage{"shop": known(hosts(1, 2))}}).play}, sync.App{Name: "shop", Policy: policy})
				two := newSite(t, players{"prod": (&live{stage: stage{"mall": known(hosts(3, 4))}}).play}, sync.App{Name: "mall", Group: "sg-shop", Policy: policy})
				two.sims["edge"] = one.sims["edge"]
				two.NetScalers["edge"].Client = two.client("edge", "secret", false)
				runs := []*run{newRun(one, 30*time.Second), newRun(two, 30*time.Second)}
				var both stdsync.WaitGroup
				for i, r := range runs {
					both.Go(func() {
						time.Sleep(time.Duration(i) * 13 * time.Second)
						ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
						defer cancel()
						if err := r.Run(ctx, r.site.Syncer).Close(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				both.Wait()
				for _, r := range runs {
					if !strings.Contains(r.log.String(), "the same change is made again and again") {
						t.Errorf("after %d passes it does not say that they fight", len(r.passes))
					}
				}
			})
		})
	}
}
