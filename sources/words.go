package sources

import (
	"fmt"

	"nitrox/sources/redact"
)

// Count writes a number of things: "1 pod", "3 pods".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Excerpt is the beginning, on one line, of a text that somebody else wrote.
func Excerpt[T ~string | ~[]byte](text T) string { return redact.Line(text, 500) }
