package netscaler_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

func marking(group, comment string) netscaler.Change {
	return netscaler.Change{Op: netscaler.Mark, Group: group, Comment: comment}
}

func wantCommented(t *testing.T, c *netscaler.Client, want map[string]string) {
	t.Helper()
	if got, err := c.Commented(t.Context()); err != nil || !maps.Equal(got, want) {
		t.Errorf("commented: %v, %v; want %v", got, err, want)
	}
}

// marks takes comments of groups through what a pass does with them.
func marks(t *testing.T, c *netscaler.Client, between func()) {
	t.Helper()
	wantCommented(t, c, nil)
	between()
	errs := c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("b c", "nitrox prod shop/web"), marking("sg-missing", "nitrox prod shop/x"), marking("sg-d", "nitrox prod shop/db")})
	want := map[string]string{"b c": "nitrox prod shop/web", "sg-d": "nitrox prod shop/db"}
	if c.TakesComments() {
		wantNil(t, []error{errs[0], errs[2]})
		wantError(t, errs[1], netscaler.ErrNoGroup, `service group sg-missing: mark group "nitrox prod shop/x": NITRO 258`)
	} else {
		wantError(t, errs[0], netscaler.ErrNoComment, "service group b c: mark group")
		wantError(t, errs[2], netscaler.ErrNoComment)
		want = nil
	}
	between()
	wantCommented(t, c, want)
}

// One call marks any number of groups, and a comment is what was written, over what was
// there. One call finds them again.
func TestMarksAreFewCalls(t *testing.T) {
	sim := simulator.New(simulator.Options{Users: users})
	load(t, sim, "add serviceGroup a HTTP", "add serviceGroup b HTTP -comment mine", `add serviceGroup c HTTP -comment "nitrox production"`, "add serviceGroup d SSL -comment nitrox")
	c := open(t, sim.Transport())
	wantNil(t, c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("a", "nitrox prod shop/a"), marking("b", "nitrox prod shop/b")}))
	sim.ResetCalls()
	wantCommented(t, c, map[string]string{"a": "nitrox prod shop/a", "b": "nitrox prod shop/b", "c": "nitrox production", "d": "nitrox"})
	wantNil(t, c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("a", "nitrox prod shop/c")}))
	var calls []string
	for _, call := range sim.Calls() {
		calls = append(calls, strings.TrimSuffix(call.Method+" "+call.Type+"?"+call.Query, "?"))
	}
	if got, want := strings.Join(calls, ", "), "GET servicegroup?attrs=servicegroupname,comment, PUT servicegroup"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	wantCommented(t, c, map[string]string{"a": "nitrox prod shop/c", "b": "nitrox prod shop/b", "c": "nitrox production", "d": "nitrox"})
	groups := map[string]*seen{"a": {}}
	if err := detail(c, t.Context(), groups); err != nil || groups["a"].Attrs.Comment != "nitrox prod shop/c" {
		t.Errorf("%+v, %v", groups["a"].Attrs, err)
	}
}

func TestCommentThatMustNotBeWrittenIsNeverSent(t *testing.T) {
	for _, comment := range []string{"", "  ", "a\nadd system user x", "a\tb", "caf\u00e9", "a\u202eb", `a"b`, `a\b`, "a?b", strings.Repeat("x", netscaler.MaxComment+1)} {
		b := newBox(t)
		wantError(t, b.open().Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("sg", comment)})[0], nil, "service group sg: mark group ", "not sent: the comment ")
		if len(b.calls) != 0 {
			t.Errorf("%q: %v", comment, b.lines())
		}
	}
	b := newBox(t)
	for _, group := range []string{"", "sg[1-2]"} {
		wantError(t, b.open().Do(t.Context(), netscaler.Mark, []netscaler.Change{marking(group, "nitrox prod shop/a")})[0], nil, "not sent: ")
	}
}

// What is too long keeps its beginning, and fits.
func TestCommentFits(t *testing.T) {
	long := "nitrox prod " + strings.Repeat("n", 63) + "/" + strings.Repeat("s", 63)
	for text, want := range map[string]string{
		"nitrox prod shop/web": "nitrox prod shop/web", long[:netscaler.MaxComment]: long[:netscaler.MaxComment], long: long[:netscaler.MaxComment-3] + "...",
	} {
		if got := netscaler.Comment(text); got != want || len(got) > netscaler.MaxComment {
			t.Errorf("%q: %q", text, got)
		}
	}
	sim := simulator.New(simulator.Options{Users: users, CommentLength: netscaler.MaxComment - 1})
	sim.AddGroup("sg")
	c := open(t, sim.Transport())
	wantError(t, c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("sg", netscaler.Comment(long))})[0], nil, "NITRO 1106", "[comment, 99]")
	if !c.TakesComments() {
		t.Error("another length may do")
	}
}

// A build without comments is asked once; its groups are made all the same.
func TestBuildThatRefusesComments(t *testing.T) {
	for _, refusal := range []answer{nitro(599, 278, "Invalid argument [comment]"), nitro(599, 1090, "No such argument")} {
		b := newBox(t).on("PUT servicegroup", refusal).on("POST servicegroup", answer{status: 201}).
			on("POST servicegroup", refusal, answer{status: 201})
		c := b.open()
		made := &netscaler.Creation{ServiceType: "HTTP", Comment: "nitrox prod shop/a"}
		wantNil(t, c.Do(t.Context(), netscaler.AddGroup, creation(netscaler.AddGroup, "a", made)))
		wantNil(t, c.Do(t.Context(), netscaler.AddGroup, creation(netscaler.AddGroup, "b", made)))
		for _, err := range c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("a", "nitrox prod shop/a"), marking("b", "nitrox prod shop/b")}) {
			wantError(t, err, netscaler.ErrNoComment, "upgrade the NetScaler")
		}
		wantLines(t, b, "POST servicegroup", "POST servicegroup", "POST servicegroup")
		if c.TakesComments() {
			t.Error("it is to be asked again")
		}
	}
	sim := simulator.New(simulator.Options{Users: users, Lacks: []string{"comment"}})
	c := open(t, sim.Transport())
	for _, group := range []string{"a", "b"} {
		wantNil(t, c.Do(t.Context(), netscaler.AddGroup, creation(netscaler.AddGroup, group, &netscaler.Creation{ServiceType: "HTTP", Comment: "nitrox prod shop/a"})))
	}
	wantCommented(t, c, nil)
	// The refusal of the first of two is that of the second.
	b := newBox(t).on("PUT servicegroup", bulkFailed(result(278, "Invalid argument [comment]"), result(278, "Invalid argument [comment]")))
	for _, err := range b.open().Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("a", "nitrox prod shop/a"), marking("b", "nitrox prod shop/b")}) {
		wantError(t, err, netscaler.ErrNoComment)
	}
	wantLines(t, b, "PUT servicegroup")
	// What is refused for something else is that group's trouble.
	b = newBox(t).on("PUT servicegroup", nitro(599, 278, "Invalid argument [serviceGroupName]"))
	c = b.open()
	if err := c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("a", "nitrox prod shop/a")})[0]; errors.Is(err, netscaler.ErrNoComment) || !c.TakesComments() {
		t.Error(err)
	}
}

// An answer that does not show all groups is an error, and never a shorter list.
func TestCommentsThatCannotBeRead(t *testing.T) {
	const all = "GET servicegroup?attrs=servicegroupname,comment"
	row := `{"servicegroupname":"a","comment":"nitrox prod shop/a"}`
	whole := rows("servicegroup", row+`,{"servicegroupname":"b"}`).body
	for name, answers := range map[string][]answer{
		"half a text":      {ok(whole[:len(whole)-20])},
		"null for a list":  {ok(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "servicegroup": null }`)},
		"an object":        {ok(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "servicegroup": ` + row + ` }`)},
		"null for a row":   {rows("servicegroup", row+`,null`)},
		"a row of nothing": {rows("servicegroup", row+`,{}`)},
		"no errorcode":     {ok(`{ "servicegroup": [ ` + row + ` ] }`)},
		"twice":            {ok(`{ "errorcode": 0, "servicegroup": [ ` + row + ` ], "servicegroup": [] }`)},
		"no text":          {ok("")},
		"a page":           {page(200)},
		"in part":          {answer{status: 206, body: `{ "errorcode": 1043, "servicegroup": [ ` + row + ` ] }`}},
		"not authorized":   {nitro(403, 2138, "Not authorized to execute this command [show serviceGroup]")},
		"lost":             {lost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on(all, answers...)
				if got, err := b.open().Commented(t.Context()); err == nil || got != nil || !strings.Contains(err.Error(), "read the comments of all service groups: ") {
					t.Errorf("%v, %v", got, err)
				}
			})
		})
	}
	b := newBox(t).on(all, ok(whole))
	wantCommented(t, b.open(), map[string]string{"a": "nitrox prod shop/a"})
	wantLines(t, b, all)
}

// A mark whose answer was lost is neither made nor not: reading it again tells.
func TestLostAnswerOfAMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []simulator.Fault{{DropAfterApply: true}, {DropMidReply: true}, {DropBefore: true}, {Code: 349}} {
			sim := simulator.New(simulator.Options{Users: users})
			sim.AddGroup("sg")
			c := open(t, sim.Transport())
			fault.Method, fault.Type = "PUT", "servicegroup"
			sim.SetFault(fault)
			err := c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("sg", "nitrox prod shop/a")})[0]
			if fault.Code != 0 {
				wantNil(t, []error{err}) // the peer gets it by itself
			} else {
				wantError(t, err, netscaler.ErrUnsure)
			}
			sim.ClearFaults()
			groups := map[string]*seen{"sg": {}}
			if err := detail(c, t.Context(), groups); err != nil {
				t.Fatal(err)
			}
			if made := groups["sg"].Attrs.Comment != ""; made != (fault.DropAfterApply || fault.DropMidReply) {
				t.Errorf("%+v: made %v", fault, made)
			}
		}
	})
}
