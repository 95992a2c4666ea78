package bounds

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	// MaxHeader is how large the head of an answer may be.
	MaxHeader = 256 << 10
	// maxRatio is how many times as long a text may be as its compressed form, if
	// it is longer than freeRatio. Lists of like objects have up to fifty.
	maxRatio  = 200
	freeRatio = 1 << 20
)

// Compressed asks for a compressed answer. net/http then leaves it alone, so that
// [Body] can count it on the wire and as text.
func Compressed(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }

// Body is the text of an answer, whose end must come within a number of bytes,
// and before the request's context ends.
type Body struct {
	wire      *wire
	text      io.Reader
	read, max int64
	// Err is why it cannot be read to its end. What decoders make of that hides
	// the reason.
	Err error
}

// NewBody is the body of an answer of at most max bytes.
func NewBody(resp *http.Response, max int64) *Body {
	b := &Body{wire: &wire{ctx: context.Background(), r: resp.Body, max: max + freeRatio}, max: max}
	if resp.Request != nil {
		b.wire.ctx = resp.Request.Context()
	}
	b.text = b.wire
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); {
	case encoding == "gzip":
		b.text = &unzipped{wire: b.wire}
	case encoding != "" && encoding != "identity":
		b.Err = fmt.Errorf("the answer is encoded as %q, which was not asked for; keep the proxy in between from encoding it",
			encoding[:min(len(encoding), 20)])
	}
	return b
}

func (b *Body) Read(p []byte) (int, error) {
	if b.Err != nil {
		return 0, b.Err
	}
	n, err := b.text.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.max:
		n -= int(b.read - b.max)
		b.Err = tooLarge("it has more than %s; find out what answers there", amount(b.max))
	case b.read > freeRatio && b.read > maxRatio*b.wire.n:
		b.Err = tooLarge("its text is more than %d times as long as what was sent for it; find out what answers there", maxRatio)
	case errors.Is(err, ErrTooLarge), err != nil && b.wire.ctx.Err() != nil:
		b.Err = err
	case err != nil && !errors.Is(err, io.EOF):
		b.Err = fmt.Errorf("after %d bytes of the answer: %w", b.read, err)
	default:
		return n, err
	}
	return n, b.Err
}

// amount is a limit in words.
func amount(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// unzipped unzips what comes on the wire. The head is read when the first text
// is wanted: to wait for it must be possible to end.
type unzipped struct {
	wire io.Reader
	text *gzip.Reader
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.text == nil {
		text, err := gzip.NewReader(u.wire)
		if err != nil {
			return 0, err
		}
		u.text = text
	}
	return u.text.Read(p)
}

// wire counts what is sent. Of compressed text any amount may be none.
type wire struct {
	ctx    context.Context
	r      io.Reader
	n, max int64
}

func (w *wire) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	if w.n += int64(n); w.n > w.max {
		return n, tooLarge("more than %s were sent for it; find out what answers there", amount(w.max))
	}
	return n, err
}
