package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Scenario 16: two apps that fill one group would empty it in turn. The file is
// refused, and the message has both lines; also where the one entry names the
// appliance itself and the other the Console in front of it.
func TestTwoAppsOfOneGroupAreRefusedWithBothLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nitrox.yaml")
	if err := os.WriteFile(file, []byte(`netscalers:
  direct: {url: https://192.0.2.10}
  console: {proxy: {via: https://adm.example.com, instance_ip: 192.0.2.10}}
  other: {proxy: {via: https://adm.example.com, instance_ip: 192.0.2.11}}
sources:
  lab: {plain: {path: endpoints.json}}
apps:
  - {name: a, service_group: sg, netscaler: direct, from: [{source: lab, app: a}]}
  - {name: b, service_group: sg, netscaler: other, from: [{source: lab, app: b}]}
  - {name: c, service_group: sg, netscaler: console, from: [{source: lab, app: c}]}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	problems := bad(t, file, lookup)
	if len(problems) != 1 || problems[0].Line != 10 || !strings.Contains(problems[0].Message, `which app "a" (line 8) already has`) {
		t.Errorf("%v", problems)
	}
}
