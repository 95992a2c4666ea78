package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"nitrox/sync"
	"nitrox/sync/config"
)

const (
	// lookEvery is how often the mapping file is looked at for a change, and
	// settle the time after which it must still read the same: a file that is
	// being written is not read half.
	lookEvery = 2 * time.Second
	settle    = time.Second
	// endure is how long files with limits that never settle hold up the others, and the
	// least time between two reloads for such files alone, so that no team starves the rest.
	endure = 30 * time.Second
)

// reloads gives a new syncer whenever the files of the mapping have changed from inUse, or
// at a signal: also files that came into a folder, or left it. Files that cannot be read, or
// have problems, change nothing and are reported once; refused is told whether the files are
// others than those in use for that reason. now is the syncer in use.
func reloads(ctx context.Context, files *config.Files, inUse config.Text, now *sync.Syncer, signals <-chan os.Signal, load func() (*sync.Syncer, error), refused func(bool), log *slog.Logger) <-chan *sync.Syncer {
	fresh := make(chan *sync.Syncer)
	refuse := func(err error) {
		refused(true)
		log.Error("the changed mapping file cannot be used; the old one stays in use", "file", files.String(), "error", err)
	}
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		seen := inUse                // what was last loaded or refused
		bad, missing := false, false // seen was refused, there is nothing to see
		forced := false              // a signal asks for it, and it is not loaded yet
		var since, last time.Time    // since when the files are others than seen, and the last load
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				forced = true
			case <-tick.C:
			}
			first, err := files.Text()
			if err != nil {
				if forced || !missing {
					refuse(err)
				}
				missing, forced = true, false
				continue
			}
			missing = false
			if first == seen {
				since = time.Time{}
				refused(bad)
			} else if since.IsZero() {
				since = time.Now()
			}
			if !forced && (first == seen || first.Others == seen.Others && time.Since(last) < endure) {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
			second, err := files.Text()
			if err != nil || first.Others != second.Others || first != second && time.Since(since) < endure {
				continue // still being written: the next look finds it changed
			}
			seen, since, last, forced = first, time.Time{}, time.Now(), false
			s, err := load()
			if bad = err != nil; bad {
				refuse(err)
				continue
			}
			refused(false)
			reloaded(log, now, s)
			now = s
			select {
			case fresh <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	return fresh
}

// reloaded says what the run goes by from now on, and of which apps it lets go.
func reloaded(log *slog.Logger, was, now *sync.Syncer) {
	log.Info("the mapping file was reloaded", "file", now.Mapping.File, "digest", now.Mapping.Digest)
	stay := map[string]bool{}
	for _, app := range now.Apps {
		stay[app.Name] = true
	}
	var gone []string
	for _, app := range was.Apps {
		if !stay[app.Name] {
			gone = append(gone, app.Name)
		}
	}
	if len(gone) > 0 {
		log.Warn("apps are not in the mapping any more; their service groups stay as they are", "apps", strings.Join(gone, ", "))
	}
}
