package main

import (
	"bytes"
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
)

// reloads gives a new syncer whenever the files of the mapping have changed from inUse, or
// at a signal: also files that came into a folder, or left it. Files that cannot be read, or
// have problems, change nothing and are reported once. now is the syncer in use.
func reloads(ctx context.Context, files *config.Files, inUse []byte, now *sync.Syncer, signals <-chan os.Signal, load func() (*sync.Syncer, error), log *slog.Logger) <-chan *sync.Syncer {
	fresh := make(chan *sync.Syncer)
	refuse := func(err error) {
		log.Error("the changed mapping file cannot be used; the old one stays in use", "file", files.String(), "error", err)
	}
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		seen := inUse // what was last loaded or refused
		missing := false
		for {
			forced := false
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
				missing = true
				continue
			}
			missing = false
			if !forced && bytes.Equal(first, seen) {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
			if second, err := files.Text(); err != nil || !bytes.Equal(first, second) {
				continue // still being written: the next look finds it changed
			}
			seen = first
			s, err := load()
			if err != nil {
				refuse(err)
				continue
			}
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
