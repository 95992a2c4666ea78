// Package nearest finds the name that somebody may have meant.
package nearest

import (
	"fmt"
	"slices"
	"strings"
)

// Name returns the known name that is most like name, or else the only one that has
// it for its last part ("shop_account" of "account"); "" if there is none.
func Name(name string, known []string) string {
	const longest = 200 // time grows with the square
	best, near := len(name), ""
	for _, k := range known {
		if len(name) > longest || len(k) > longest {
			continue
		}
		// A third of the letters may differ; more, and it is another word.
		n := distance(strings.ToLower(name), strings.ToLower(k))
		if n < best && n <= (max(len(name), len(k))+2)/3 {
			best, near = n, k
		}
	}
	if near == "" && name != "" {
		ends := func(k string) bool {
			before, found := strings.CutSuffix(k, name)
			return found && before != "" && strings.ContainsAny(before[len(before)-1:]+name[:1], "_/")
		}
		if i := slices.IndexFunc(known, ends); i >= 0 && !slices.ContainsFunc(known[i+1:], ends) {
			near = known[i]
		}
	}
	return near
}

// DidYouMean ends a sentence about a name that is not there with the nearest that
// is; "" if none is near.
func DidYouMean(name string, known []string) string {
	if near := Name(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// Choose ends a sentence about a name that must be one of the known: with the nearest or,
// if none is near, with all of them.
func Choose(name string, known []string) string {
	if near := Name(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; choose from " + strings.Join(known, ", ")
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			replace := row[j]
			if a[i] != b[j] {
				replace++
			}
			next[j+1] = min(replace, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
