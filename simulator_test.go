package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nitrox simulator --check says what is not understood and serves nothing; what is
// not modelled is counted, or named, and no problem.
func TestSimulatorCheck(t *testing.T) {
	const good = "#NS14.1 Build 29.72\nadd server a 10.0.0.1\nadd ssl certKey c1 -cert c -passcrypt s3cret\n" +
		"bind cs vserver cs -lbvserver v\nadd ssl certKey \"c 2\" -cert c\nset ns param -cookieversion 1\n"
	for _, c := range []struct {
		name, conf string
		args       []string
		code       int
		out, log   string
	}{
		{"good", good, nil, 0, "FILE: no problems (lines: 5, skipped: 4)\n", "skipped 4 lines: add ssl certKey 2, bind cs vserver 1, set ns param 1\n"},
		{"quiet", good, []string{"--log-level", "warn"}, 0, "FILE: no problems (lines: 5, skipped: 4)\n", ""},
		{"each line", good, []string{"--log-level", "debug"}, 0, "FILE: no problems (lines: 5, skipped: 4)\n",
			"FILE: line 3: skipped add ssl certKey c1\nFILE: line 4: skipped bind cs vserver cs\nFILE: line 5: skipped add ssl certKey c 2\nFILE: line 6: skipped set ns param\n" +
				"skipped 4 lines: add ssl certKey 2, bind cs vserver 1, set ns param 1\n"},
		{"empty", "", nil, 0, "FILE: no problems (lines: 0, skipped: 0)\n", ""},
		{"bad", good + "add serviceGroup sg\nadd serviceGroup sg HTTP\nbind serviceGroup sg nosuch 80\nfoo\n", nil, 1, "",
			"FILE: line 7: add serviceGroup sg: 1095: Required argument missing [servicetype]\n" +
				"FILE: line 9: bind serviceGroup sg nosuch 80: 258: No such resource [serverName, nosuch]\n" +
				"skipped 5 lines: add ssl certKey 2, bind cs vserver 1, foo 1, set ns param 1\n" +
				"nitrox: FILE: lines that are not understood: 2; correct them, or leave out --check to serve the rest\n"},
		{"what is not to be shown", "add system user u s3cret s3cret\nadd lb monitor m USER -password s3cret s3cret\n", nil, 1, "",
			"FILE: line 1: add system user u: 1090: No such argument\nFILE: line 2: add lb monitor m: 1090: No such argument\n" +
				"nitrox: FILE: lines that are not understood: 2; correct them, or leave out --check to serve the rest\n"},
		{"a level", good, []string{"--log-level", "loud"}, 1, "", "nitrox: unknown log level \"loud\"; choose from debug, info, warn, error\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ns.conf")
			if err := os.WriteFile(file, []byte(c.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, log := nitrox(t, t.Context(), nil, append([]string{"simulator", "--check", "--config", file}, c.args...)...)
			out, log = strings.ReplaceAll(out, file, "FILE"), strings.ReplaceAll(log, file, "FILE")
			if code != c.code || out != c.out || log != c.log {
				t.Errorf("exit code %d\n%s%s\nwant %d\n%s%s", code, out, log, c.code, c.out, c.log)
			}
		})
	}
	if code, _, log := nitrox(t, t.Context(), nil, "simulator", "--check"); code != 1 || log != "nitrox: --check needs --config: name the ns.conf to check\n" {
		t.Errorf("without a file: %d %s", code, log)
	}
	if code, _, log := nitrox(t, t.Context(), nil, "simulator", "--check", "--config", "nosuch.conf"); code != 1 || !strings.Contains(log, "nosuch.conf") {
		t.Errorf("a file that is not there: %d %s", code, log)
	}
}
