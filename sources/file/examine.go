package file

import (
	"context"

	"nitrox/sources/bounds"
	"nitrox/sources/examine"
)

// Examine implements [sources.Examiner]: whether the file is there.
func (s *Source) Examine(context.Context, []Query) ([]examine.Check, bool) {
	path := string(s.config.Path)
	if _, _, err := load(path); err != nil {
		return []examine.Check{examine.Fail("file", bounds.Unread(err), "name a file that can be read in path")}, false
	}
	return []examine.Check{examine.Fine("file", path)}, true
}
