package sources

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// OpenToOthers says that users of this machine other than its owner and group may read
// a file that holds a secret, or that others than its owner may write it; nil:
// they may not, or the file cannot be looked at, which is for whoever reads it to
// say.
//
// Secrets that Docker and Kubernetes put into containers can be read by all who
// are in there, and there is nobody else.
func OpenToOthers(file Path) error {
	info, err := os.Stat(string(file))
	if file == "" || err != nil || runtime.GOOS == "windows" { // where modes say nothing
		return nil
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o022 != 0:
		return fmt.Errorf("others may write %s (mode %04o); chmod go-w %[1]s", file, mode)
	case mode&0o004 != 0 && !inContainer(string(file)):
		return fmt.Errorf("every user of this machine may read %s (mode %04o); chmod o-r %[1]s", file, mode)
	}
	return nil
}

// inContainer: the file is where Docker puts secrets, or in a volume of Kubernetes,
// which keeps files in a folder with a name like ..2026_11_27_12_00_00.1234.
func inContainer(file string) bool {
	real, err := filepath.EvalSymlinks(file)
	return err == nil && (strings.HasPrefix(real, "/run/secrets/") || strings.Contains(real, "/..2"))
}

// Expose adds to the problems with the keys those files that are [OpenToOthers].
func (p *Problems) Expose(key string, file Path) {
	if err := OpenToOthers(file); err != nil {
		p.Add(key, "%w", err)
	}
}

// Loopback says whether a host is this machine.
func Loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
