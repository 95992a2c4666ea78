// Package leadership stands in for the module of this name, which no proxy has:
// the Swarm elects a primary manager by it where it has --replication, which the
// tests do not use.
package leadership

import (
	"time"

	"github.com/docker/libkv/store"
)

const unused = "the Swarm of the tests has one manager"

// Candidate would stand for election.
type Candidate struct{}

// Follower would follow one.
type Follower struct{}

func NewCandidate(store.Store, string, string, time.Duration) *Candidate { panic(unused) }
func NewFollower(store.Store, string) *Follower                          { panic(unused) }
func (*Candidate) RunForElection() (<-chan bool, <-chan error)           { panic(unused) }
func (*Candidate) IsLeader() bool                                        { panic(unused) }
func (*Candidate) Resign()                                               { panic(unused) }
func (*Follower) FollowElection() (<-chan string, <-chan error)          { panic(unused) }
func (*Follower) Leader() string                                         { panic(unused) }
