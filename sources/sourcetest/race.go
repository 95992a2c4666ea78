//go:build race

package sourcetest

func init() { UnderRace = true }
