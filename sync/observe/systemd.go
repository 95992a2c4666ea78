package observe

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"nitrox/sync"
)

// Notify tells systemd how the loop goes, until ctx ends, and then that it is
// stopping: ready after the first pass (or once it stands by), a status line after
// each, and, if the unit has a watchdog, that the loop is alive ([Observer.Alive]),
// twice as often as is asked for. Not started by systemd as Type=notify it does
// nothing.
func (o *Observer) Notify(ctx context.Context, log *slog.Logger) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("cannot read systemd's watchdog setting", "error", err)
	}
	o.notify(ctx, watchdog, func(messages ...string) bool {
		told, err := daemon.SdNotify(false, strings.Join(messages, "\n"))
		if err != nil {
			log.Error("cannot report to systemd", "error", err)
		}
		return told || err != nil
	})
}

// status is a line about how things are.
func (o *Observer) status() string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if !o.state.standby {
		return sync.OneLine(o.state.summary)
	}
	return "standing by: another replica leads"
}

// notify does it with send, which says whether there is anybody to tell.
func (o *Observer) notify(ctx context.Context, watchdog time.Duration, send func(...string) bool) {
	// The first pass may take longer than units have by default to get ready.
	if !send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (sync.Deadline+time.Minute).Microseconds()), "STATUS=the first pass is under way") {
		return
	}
	var tick <-chan time.Time
	if watchdog > 0 {
		ticker := time.NewTicker(watchdog / 2)
		defer ticker.Stop()
		tick = ticker.C
	}
	ready := false
	for {
		var messages []string
		select {
		case <-ctx.Done():
			send(daemon.SdNotifyStopping, "STATUS=stopping")
			return
		case <-o.news:
			if !ready {
				messages = append(messages, daemon.SdNotifyReady)
				ready = true
			}
			messages = append(messages, "STATUS="+o.status())
		case <-tick:
		}
		if watchdog > 0 && o.Alive() == nil {
			messages = append(messages, daemon.SdNotifyWatchdog)
		}
		if len(messages) > 0 {
			send(messages...)
		}
	}
}
