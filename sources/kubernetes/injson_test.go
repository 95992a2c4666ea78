//go:build !race

package kubernetes

import (
	"os"
	"os/exec"
	"testing"

	"nitrox/sources/sourcetest"
)

// TestInJSON: all tests of the package hold in the other form, too.
func TestInJSON(t *testing.T) {
	if os.Getenv(onlyJSON) != "" {
		t.Skip("they are being run")
	}
	sourcetest.Thorough(t)
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.count=1")
	cmd.Env = append(os.Environ(), onlyJSON+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
