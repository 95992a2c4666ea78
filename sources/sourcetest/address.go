package sourcetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress is where a program that a test starts can listen: nobody does, and nobody
// is given the port meanwhile, as it is below those that systems give to whoever asks for
// any.
func FreeAddress(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.N(12_000))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}
