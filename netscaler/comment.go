package netscaler

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// MaxComment is how long a comment may be that Nitrox writes. How long NITRO takes one
// is not documented ("NITRO documentation, servicegroup", the SDKs and the command
// reference give none); the vendor's own controller was seen to write 103 letters, with
// colons and commas among them.
const MaxComment = 100

// Comment is text as a comment. What is too long ends in "...", so that it still begins
// as it did.
func Comment(text string) string {
	const more = "..."
	if len(text) > MaxComment {
		text = text[:MaxComment-len(more)] + more
	}
	return text
}

// ErrNoComment is wrapped by the error of a Mark on a build whose service groups have no
// comment.
var ErrNoComment = errors.New("service groups of this build have no comment to say whose they are; upgrade the NetScaler")

// checkComment refuses what is not to be written: an empty comment, which NITRO sets by
// another call, and what a line of ns.conf or a terminal may take for something else.
func checkComment(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("not sent: the comment is empty")
	case len(text) > MaxComment:
		return fmt.Errorf("not sent: the comment has more than %d letters", MaxComment)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\"\\?", r) }):
		return errors.New("not sent: the comment has other letters than those of plain text")
	}
	return nil
}

// comment is what the call for op says of whose the group is; empty: nothing.
func (it item) comment(op Op) string {
	switch {
	case op == Mark:
		return it.change.Comment
	case op == AddGroup && !it.plain:
		return it.change.Create.Comment
	}
	return ""
}

// addPlain adds those groups again that the build refused because of their comment,
// without one: an app is served rather than marked.
func (b *batch) addPlain(ctx context.Context) {
	refused, _ := split(b.items, func(it item) bool { return errors.Is(b.errs[it.i], ErrNoComment) })
	for i := range refused {
		refused[i].plain = true
	}
	b.send(ctx, refused)
}

// TakesComments says whether it is worth marking a service group: it is until a comment
// was refused.
func (c *Client) TakesComments() bool { return !c.noComment.Load() }

// Commented are the service groups that have a comment, and what it is. Those of ours
// are not asked for by a filter, although NITRO has one for regular expressions: of what a
// build makes of an expression nothing would tell, and a group that is left out looks like
// one that does not exist.
func (c *Client) Commented(ctx context.Context) (map[string]string, error) {
	rows, err := c.detail(ctx, "servicegroupname,comment", "", 1<<30)
	if err != nil {
		return nil, fmt.Errorf("read the comments of all service groups: %w", err)
	}
	commented := map[string]string{}
	for name, a := range rows {
		if a.Comment != "" {
			commented[name] = a.Comment
		}
	}
	return commented, nil
}
