package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
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

// reloads gives a new syncer whenever the mapping file has changed from inUse,
// or at a signal. A file that cannot be read, or has problems, changes nothing
// and is reported once.
func reloads(ctx context.Context, file string, inUse []byte, signals <-chan os.Signal, load func() (*sync.Syncer, error), log *slog.Logger) <-chan *sync.Syncer {
	fresh := make(chan *sync.Syncer)
	refuse := func(err error) {
		log.Error("the changed mapping file cannot be used; the old one stays in use", "file", file, "error", err)
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
			first, err := config.Text(file)
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
			if second, err := config.Text(file); err != nil || !bytes.Equal(first, second) {
				continue // still being written: the next look finds it changed
			}
			seen = first
			s, err := load()
			if err != nil {
				refuse(err)
				continue
			}
			reloaded(log, s.Mapping)
			select {
			case fresh <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	return fresh
}

// reloaded says what the run goes by from now on.
func reloaded(log *slog.Logger, m sync.Mapping) {
	log.Info("the mapping file was reloaded", "file", m.File, "digest", m.Digest)
}
