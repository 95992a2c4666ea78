package nearest_test

import (
	"strings"
	"testing"

	"nitrox/sources/nearest"
)

func TestName(t *testing.T) {
	known := []string{"sg-account", "sg-cart", "sg-report"}
	for _, test := range []struct{ name, want string }{
		{"sg-acount", "sg-account"},
		{"SG-Account", "sg-account"}, // case alone
		{"gs-cart", "sg-cart"},       // neighbours swapped
		{"billing", ""},
		{"", ""},
		{strings.Repeat("x", 300), ""},
	} {
		if got := nearest.Name(test.name, known); got != test.want {
			t.Errorf("Name(%.20q) = %q, want %q", test.name, got, test.want)
		}
	}
}
