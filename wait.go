package main

import (
	"fmt"
	"time"
)

// waitFlag is the value of --wait, which may be given alone or as --wait=2m.
type waitFlag struct {
	given bool
	bound time.Duration // 0: as long as the drains take
}

// IsBoolFlag lets package flag take it without a value.
func (w *waitFlag) IsBoolFlag() bool { return true }

func (w *waitFlag) String() string { return "" }

func (w *waitFlag) Set(text string) error {
	*w = waitFlag{}
	switch text {
	case "false":
		return nil
	case "true":
		w.given = true
		return nil
	}
	bound, err := time.ParseDuration(text)
	if err != nil || bound < time.Second {
		return fmt.Errorf("%q is no length of time of 1s or more; write --wait, or --wait=2m", text)
	}
	w.given, w.bound = true, bound
	return nil
}
