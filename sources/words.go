package sources

import (
	"fmt"
	"strings"
)

// Count writes a number of things: "1 pod", "3 pods".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Excerpt is the beginning, on one line, of a text that somebody else wrote.
func Excerpt[T ~string | ~[]byte](text T) string {
	const most = 500
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), most)]), "")), " ")
	if len(text) > most {
		line += "…"
	}
	return line
}
