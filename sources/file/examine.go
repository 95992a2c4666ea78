package file

import (
	"context"
	"os"

	"nitrox/sources/bounds"
	"nitrox/sources/examine"
)

// Examine implements [sources.Examiner]: whether the file is there.
func (s *Source) Examine(context.Context, []Query) ([]examine.Check, bool) {
	path := string(s.config.Path)
	f, err := os.Open(path)
	if err != nil {
		return []examine.Check{examine.Fail("file", bounds.Unread(err), "correct path in the mapping, or have the file written where this user may read it")}, false
	}
	_ = f.Close()
	return []examine.Check{examine.Fine("file", path)}, true
}
