package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	stdsync "sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"nitrox/sync"
)

// progress is the last line of a terminal, which says what a run is doing. It is
// overwritten in place, and erased before anything else is written. A nil
// progress shows nothing.
type progress struct {
	terminal *os.File
	end      chan struct{} // is closed for the line to go
	gone     chan struct{}

	mu    stdsync.Mutex // of steps
	steps map[place]sync.Step

	// writing is a lock of its own: a terminal that is held (Ctrl-S) must not hold
	// up whoever takes a step.
	writing stdsync.Mutex
	shown   string // what the line reads now; empty: there is none
}

// place is where a step is taken: in a source, a NetScaler or neither.
type place struct{ source, netscaler string }

// redraw is how often the line may change: often enough to be seen moving, and
// seldom enough to be read. What takes less is not shown.
const redraw = 200 * time.Millisecond

// watch shows the progress of a run if a person may see it.
func (p *program) watch() *progress {
	terminal, _ := p.stderr.(*os.File)
	if kind, _ := p.lookup("TERM"); !isTerminal(p.stderr) || kind == "dumb" {
		return nil
	}
	l := &progress{terminal: terminal, end: make(chan struct{}), gone: make(chan struct{}), steps: map[place]sync.Step{}}
	go l.draw()
	return l
}

// step notes that a step begins, goes on or ends.
func (l *progress) step(s sync.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := (place{s.Source, s.NetScaler}); s.Doing == "" {
		delete(l.steps, at)
	} else {
		l.steps[at] = s
	}
}

// stop erases the line for good.
func (l *progress) stop() {
	if l != nil {
		close(l.end)
		select {
		case <-l.gone:
		case <-time.After(patience): // the terminal is held
		}
	}
}

func (l *progress) draw() {
	defer close(l.gone)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-l.end:
			l.writing.Lock()
			defer l.writing.Unlock()
			l.erase()
			return
		case now := <-tick.C:
			width, _, err := term.GetSize(int(l.terminal.Fd()))
			if err != nil || width <= 0 {
				width = 80
			}
			l.mu.Lock()
			steps := slices.Collect(maps.Values(l.steps))
			l.mu.Unlock()
			l.show(line(steps, now, width-1)) // the last column may wrap
		}
	}
}

const clearRest = "\x1b[K" // of the line

func (l *progress) show(text string) {
	l.writing.Lock()
	defer l.writing.Unlock()
	switch {
	case text == l.shown:
	case text == "":
		l.erase()
	default:
		// Over the old text, not after erasing it: that would flicker.
		_, _ = io.WriteString(l.terminal, "\r"+text+clearRest) // a terminal that is gone ends the run by itself
		l.shown = text
	}
}

func (l *progress) erase() {
	if l.shown != "" {
		_, _ = io.WriteString(l.terminal, "\r"+clearRest) // as above
		l.shown = ""
	}
}

// over is w, but the line is erased before anything is written: w may lead to
// the same terminal. It comes back by itself.
func (l *progress) over(w io.Writer) io.Writer {
	if l == nil {
		return w
	}
	return &overline{l, w}
}

type overline struct {
	*progress
	w io.Writer
}

func (o *overline) Write(b []byte) (int, error) {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.erase()
	return o.w.Write(b)
}

// line is what is being done, in so many columns at most: by the run itself, in the
// sources, in the NetScalers.
func line(steps []sync.Step, now time.Time, columns int) string {
	slices.SortFunc(steps, func(a, b sync.Step) int {
		return cmp.Or(cmp.Compare(a.NetScaler, b.NetScaler), cmp.Compare(a.Source, b.Source))
	})
	var parts []string
	polled := 0
	for _, s := range steps {
		text := s.Doing
		if s.Of > 0 {
			text += " " + grouped(s.Done) + "/" + grouped(s.Of)
		}
		if left := s.Until.Sub(now).Round(time.Second); left > 0 {
			text += fmt.Sprintf(", %s left", sync.Short(left))
		}
		switch {
		case s.NetScaler != "":
			text = s.NetScaler + ": " + text
		case s.Source != "" && polled > 0:
			parts[len(parts)-1] += ", " + s.Source
			continue
		case s.Source != "":
			text += " " + s.Source
			polled++
		}
		parts = append(parts, text)
	}
	return cut(sync.OneLine(strings.Join(parts, "; ")), columns)
}

// cut is text in so many columns at most; characters beyond Latin, Greek and Cyrillic
// may take two.
func cut(text string, columns int) string {
	used := 0
	for i, r := range text {
		width := 1
		if r >= 0x1100 && r != '…' {
			width = 2
		}
		if used += width; used > columns || used == columns && i+utf8.RuneLen(r) < len(text) {
			return text[:i] + "…"
		}
	}
	return text
}

// grouped is a number with its thousands apart: 1,000.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
