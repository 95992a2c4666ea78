// Package config reads the mapping file.
package config

import (
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
)

// NetScaler is one entry of netscalers.
type NetScaler struct {
	Config    netscaler.Config
	Save      bool
	SaveEvery time.Duration
}

// Mapping is a mapping file that has no problems.
type Mapping struct {
	NetScalers map[string]NetScaler
	Sources    map[string]sync.Source
	Apps       []sync.App
	// Warnings are what is legal and unwise, such as http:// beyond loopback.
	Warnings []Problem
}

// Problem is one thing that is wrong in a file; Line and Column are 0 when it concerns the whole file.
type Problem struct {
	File         string
	Line, Column int
	Message      string
}

// Problems is the error of a file that cannot be used: all that is wrong with it, in the order of the file.
type Problems []Problem

func (p Problems) Error() string { return "" }

// Load reads the mapping file. kinds are the sources it may name, lookup is the environment (os.LookupEnv).
func Load(file string, kinds []sources.Kind, lookup func(string) (string, bool)) (*Mapping, error) {
	return nil, nil
}
