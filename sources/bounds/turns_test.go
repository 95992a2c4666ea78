package bounds_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources/bounds"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := bounds.NewTurns(2, time.Minute)
		take := func() (func(), error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return turns.Take(ctx)
		}
		one, err := take()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := take(); err != nil { // it hangs
			t.Fatal(err)
		}
		if _, err := take(); err == nil {
			t.Error("a third turn")
		}
		one()
		one() // is no second end
		if _, err := take(); err != nil {
			t.Error(err)
		}
		if _, err := take(); err == nil {
			t.Error("one end gave two turns")
		}
		time.Sleep(time.Minute)
		if _, err := take(); err != nil {
			t.Errorf("what hangs holds up others: %v", err)
		}
		time.Sleep(time.Hour)
	})
}

// A pause that is over at the moment at which it is told to end has been told, whichever
// is seen first.
func TestAPauseThatIsOverWhenItIsToldToEnd(t *testing.T) {
	why := errors.New("told")
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			ctx, tell := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { tell(why) })
			if err := bounds.Pause(ctx, time.Second); err != nil && err != why {
				t.Error(err)
			}
			synctest.Wait() // told by now
			if err := bounds.Pause(ctx, 0); err != why {
				t.Errorf("got %v", err)
			}
		})
	}
}
