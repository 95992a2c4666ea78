package textfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/sources/textfile"
)

func TestSecretFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]struct{ secret, remark, err string }{
		"hunter2":                      {"hunter2", "", ""},
		"hunter2\n":                    {"hunter2", "", ""},
		"hunter2\r\n":                  {"hunter2", "", ""},
		"hun ter2":                     {"hun ter2", "", ""},
		" hunter2\n":                   {" hunter2", "begins with a blank", ""},
		"hunter2\t\n":                  {"hunter2\t", "ends with a blank", ""},
		"hunter2\u00a0\n":              {"hunter2\u00a0", "ends with a blank", ""},
		"\ufeffhunter2\n":              {"hunter2", "begins with a byte order mark, which does not count", ""},
		"h\u00fcnter2\n":               {"h\u00fcnter2", "", ""},
		"":                             {"", "", "is empty"},
		"\n":                           {"", "", "is empty"},
		"\ufeff\n":                     {"", "", "is empty"},
		"hunter2\n\n":                  {"", "", "has more than one line"},
		"nitrox\nhunter2\n":            {"", "", "has more than one line"},
		"hunter2\r\r\n":                {"", "", "has more than one line"},
		"h\xfcnter2\n":                 {"", "", "is not UTF-8"},
		"\xff\xfeh\x00u\x00":           {"", "", "is UTF-16"},
		"\xfe\xff\x00h\x00u":           {"", "", "is UTF-16"},
		"h\x00u\x00n\x00\r\x00\n\x00":  {"", "", "is UTF-16"},
		"\x1f\x8b\x08\x00\x00\x00hunt": {"", "", "is not a text file"},
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		secret, remark, err := textfile.Secret(file)
		if secret != want.secret || !strings.Contains(remark, want.remark) || (remark != "") != (want.remark != "") {
			t.Errorf("%q: got %q with remark %q, want %+v", content, secret, remark, want)
		}
		if (err != nil) != (want.err != "") || err != nil && !strings.HasPrefix(err.Error(), file+" "+want.err) {
			t.Errorf("%q: error %v, want %q", content, err, want.err)
		}
		for _, said := range []string{remark, errorText(err)} {
			if strings.Contains(said, "unter2") || strings.Contains(said, "nitrox") {
				t.Errorf("%q is repeated in %q", content, said)
			}
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Whatever the bytes, what is plain has no mark and no UTF-16 in it, and what is
// visible can be shown.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{"a: b\n", "\ufeffa", "\xff\xfea\x00", "a\x00b\x00", "a\r\nb\rc", "\u00a0a", "a\xffb", "\u202eabc"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := textfile.Plain(data)
		if err == nil {
			err = textfile.Visible(plain)
		}
		if err == nil {
			for _, r := range string(plain) {
				if r == '\u202e' || r == '\ufeff' && plain[0] != 0xef || r < ' ' && !strings.ContainsRune("\t\r\n", r) {
					t.Errorf("%q is taken for visible", data)
				}
			}
			return
		}
		if wrong, ok := err.(*textfile.Error); !ok || wrong.Line < 1 || wrong.Column < 1 || wrong.Line > strings.Count(string(data), "\n")+1 {
			t.Errorf("%q: %v is at no place", data, err)
		}
	})
}
