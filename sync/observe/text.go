package observe

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// longest is how many characters of a text are worth showing.
const longest = 400

// line makes one line of what others wrote. Invisible characters are gone:
// they could make text look like other text.
func line(s string) string {
	plain := func(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) >= 0 || strings.Contains(s, "  ") {
		s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
			if plain(r) {
				return r
			}
			return ' '
		}, s)), " ")
	}
	if s = strings.TrimSpace(s); len(s) > longest {
		if runes := []rune(s); len(runes) > longest {
			s = string(runes[:longest-1]) + "…"
		}
	}
	return s
}

// short is a duration as people say it, in its one or two largest units.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return units(d, time.Minute, "min", time.Second, "s")
	case d < 48*time.Hour:
		return units(d, time.Hour, "h", time.Minute, "min")
	}
	return units(d, 24*time.Hour, "d", time.Hour, "h")
}

func units(d, large time.Duration, name string, small time.Duration, rest string) string {
	text := fmt.Sprintf("%d %s", d/large, name)
	if n := d % large / small; n > 0 && d < 10*large {
		text += fmt.Sprintf(" %d %s", n, rest)
	}
	return text
}
