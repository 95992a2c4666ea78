// Package bounds limits what comes from outside: how long it is on the wire and
// when it is decompressed, how it is nested, and how much memory its parts and
// the whole take. It hands to a decoder only what is wanted of it.
package bounds

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// ErrTooLarge is wrapped by all errors about a limit that was exceeded.
var ErrTooLarge = errors.New("too large")

// tooLarge is an [ErrTooLarge] about an answer.
func tooLarge(format string, args ...any) error {
	return fmt.Errorf("the answer is %w: %s", ErrTooLarge, fmt.Sprintf(format, args...))
}

const (
	// usual is the memory limit of a process that GOMEMLIMIT does not set: with
	// the program itself it stays below 256 MiB.
	usual = 192 << 20
	// small is what may be kept of any answer, whatever others take: so the
	// apps of a source that answers as it should are served beside hostile ones.
	small = 2 << 20
)

// garbage is how much the heap may grow until garbage is collected, in percent of what
// lived then. Go's own 100 would let a limit be reached by garbage alone while a large
// plan is made; this costs hardly more time.
const garbage = 60

// Limit makes the garbage collector keep the process within its memory limit,
// which is GOMEMLIMIT's, or else the usual one.
func Limit() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(usual)
	}
}

// memory is the limit of the process.
func memory() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < 1<<50 {
		return limit
	}
	return usual
}

// share is how much of the memory what is kept of one answer may take, and
// total how much all of the program may hold before more than a little is
// refused: the rest is for what is made of answers, and for garbage.
func share() int64 { return memory() / 4 }
func total() int64 { return memory() / 3 * 2 }

// full says whether the program holds as much as it may. What the garbage collector
// counted last may be free by now, so before anything is refused it counts again.
func full() bool {
	if live() <= total() {
		return false
	}
	runtime.GC()
	return live() > total()
}

// live is what lived when the garbage collector counted last.
func live() int64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}

// Memory is what is kept of one answer, or of all pages of one.
type Memory struct{ checked int64 }

// Keep says how many bytes it takes by now. The error is that it is too much.
func (m *Memory) Keep(bytes int64) error {
	switch {
	case bytes > share():
		return tooLarge("what is wanted of it takes more than %d MiB of memory; if it is right, raise GOMEMLIMIT (docs/limits.md)", share()>>20)
	case bytes > small && bytes > m.checked+256<<10:
		m.checked = bytes
		return room()
	}
	return nil
}

// room is an error if the program holds as much as it may.
func room() error {
	if full() {
		return tooLarge("all answers together take more than %d MiB of memory; if they are right, raise GOMEMLIMIT (docs/limits.md)", total()>>20)
	}
	return nil
}

const (
	// maxPart is the memory that decoding a part may take: an object of 1.5 MB,
	// which is the most that Kubernetes keeps, takes up to 13 MB.
	maxPart = 16 << 20
	// maxParts is for what costs no memory, but time.
	maxParts = 1_000_000
)

// Cost is what decoding takes: the memory of one part, and how many there are.
type Cost struct {
	bytes, checked int64
	parts          int
}

// Next begins another part.
func (c *Cost) Next() error {
	c.bytes, c.checked = 0, 0
	if c.parts++; c.parts > maxParts {
		return tooLarge("it has more than %d entries; find out what answers there", maxParts)
	}
	return nil
}

// Spend counts memory before it is taken for the part.
func (c *Cost) Spend(bytes int64) error {
	if c.bytes += bytes; c.bytes > maxPart {
		return tooLarge("one thing in it takes more than %s of memory; find out what answers there", amount(maxPart))
	}
	if c.bytes > small && c.bytes > c.checked+1<<20 {
		c.checked = c.bytes
		return room()
	}
	return nil
}

// Size is about how much memory is held by a value that was decoded.
func Size(v any) int64 {
	if v == nil {
		return 0
	}
	value := reflect.ValueOf(v)
	return int64(value.Type().Size()) + beyond(value)
}

// beyond is the memory that a value points to.
func beyond(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.String:
		n = int64(v.Len())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			n = int64(v.Elem().Type().Size()) + beyond(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += beyond(v.Field(i))
		}
	case reflect.Slice:
		n = int64(v.Cap()) * int64(v.Type().Elem().Size())
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				n += beyond(v.Index(i))
			}
		}
	case reflect.Map:
		for e := v.MapRange(); e.Next(); {
			n += entry(v.Type()) + beyond(e.Key()) + beyond(e.Value())
		}
	}
	return n
}

// entry is the size of an entry of a map, about.
func entry(t reflect.Type) int64 { return 2 * int64(t.Key().Size()+t.Elem().Size()) }

// ReadFile reads a file that is expected to be small: of credentials, say.
func ReadFile(name string) ([]byte, error) { return ReadUpTo(name, 1<<20) }

// pipeWithin is how long a named pipe may take to give all that it has.
const pipeWithin = 5 * time.Second

// ReadUpTo reads a file of at most max bytes. A named pipe to which nobody writes is
// empty: to wait for a writer nothing could end.
func ReadUpTo(name string, max int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Unread(err)
	}
	defer f.Close()
	return ReadOpen(f, max)
}

// ReadOpen is [ReadUpTo] of a file that is open.
func ReadOpen(f *os.File, max int64) ([]byte, error) {
	if err := f.SetReadDeadline(time.Now().Add(pipeWithin)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(text)) > max {
		err = fmt.Errorf("%s is %w: it has more than %s; is it the right file?", f.Name(), ErrTooLarge, amount(max))
	}
	if err != nil {
		return nil, Unread(err)
	}
	return text, nil
}

// Unread adds to the error of a file that cannot be read what to do about it.
func Unread(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w; create it, or correct its name", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; let the user that Nitrox runs as read it", err)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%w; name a file in it", err)
	}
	return err
}

// MaxValues is how many values, about, can be read as YAML, of which all are in memory
// at once, each in ten to a hundred times its length.
const MaxValues = 300_000

// YAML is an error if text has more of them.
func YAML(text []byte) error {
	if Values(text) > MaxValues {
		return fmt.Errorf("%w: it has more than %d lines, commas, colons and the like; split it, or write less", ErrTooLarge, MaxValues)
	}
	return nil
}

// Values is how many values text has at most.
func Values(text []byte) (marks int) {
	for _, mark := range []string{",", "\n", ":", "[", "{", "- ", "? "} {
		marks += bytes.Count(text, []byte(mark))
	}
	return marks
}
