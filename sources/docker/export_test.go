package docker

import (
	"context"
	"net"
	"time"
)

// SetMaxBody lowers the size of an answer that is refused.
func SetMaxBody(s *Source, bytes int64) {
	for _, h := range s.hosts {
		h.maxBody = bytes
	}
}

// SetAgain changes when the source looks again after an event.
func SetAgain(s *Source, after ...time.Duration) {
	for _, h := range s.hosts {
		h.again = after
	}
}

// SetDial changes how the source connects.
func SetDial(s *Source, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	for _, h := range s.hosts {
		h.net = dial
	}
}

// Filtered is how what is wanted of a list is asked for.
var Filtered = filtered
