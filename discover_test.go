package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Apps opt in by labels, from the first to an orphan, and every command knows them: on
// Marathon, through the binary.
func TestAppsOptIn(t *testing.T) {
	t.Parallel()
	c, sim, mapping := marathonSite(t)
	text, err := os.ReadFile(mapping)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "apps:")
	dir := filepath.Dir(mapping)
	write := func(file, text string) string {
		file = filepath.Join(dir, file)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	discover := `discover:
  - source: dcos
    select: nitrox=on
    namespaces: [shop]
    allow_groups: {shop: sg-*}
    create: {service_type: HTTP}
`
	good := write("nitrox.yaml", head+`apps:
  - {name: CartService, service_group: sg-cart, from: [{source: dcos, app: /shop/cart-blue, port: 0}]}
`+discover)
	run := func(want int, args ...string) (out string) {
		t.Helper()
		code, out, log := spawned(t, dir, nil, args...)
		if code != want {
			t.Errorf("%v: exit code %d, not %d:\n%s%s", args, code, want, out, log)
		}
		return out + log
	}
	says := func(out string, all ...string) {
		t.Helper()
		for _, text := range all {
			if !strings.Contains(out, text) {
				t.Errorf("it does not say %q:\n%s", text, out)
			}
		}
	}
	label := func(app, labels string) {
		put(t, c, `{"id": "`+app+`", "labels": {`+labels+`}}`)
		c.Settle()
	}
	run(0, "validate")
	run(0, "sync")
	label("/shop/account", `"nitrox": "on"`)
	c.Requests()
	says(run(0, "plan"), "shop-account-http on edge: 0 serving, 4 wanted", "+ service group shop-account-http HTTP")
	if n := len(c.Requests()); n != 2 {
		t.Errorf("a pass asks Marathon %d times, not once more than it would", n)
	}
	run(0, "sync")
	if n := len(sim.Members("shop-account-http")); n != 4 {
		t.Errorf("it has %d members", n)
	}
	says(run(0, "status", "shop-account-http"), "in step", "shop-account-http")
	says(run(0, "explain", "shop-account-http"), "shop-account-http on edge: 4 serving, in step", "mapping: nitrox.yaml:")
	heard(t, dir, `did you mean \"shop-account-http\"?`, "sync", "--loop", "1h", "--app", "shop-acount-http")
	says(run(1, "explain", "shop-acount-http"), `did you mean "shop-account-http"?`)
	says(run(0, "doctor"), "apps that opted in", "shop-account-http")

	_, mapped, _ := spawned(t, dir, nil, "plan", "--show-discovered")
	shown := write("shown.yaml", mapped)
	run(0, "validate", "--config", shown)
	says(run(0, "plan", "--config", shown, "--exit-code"), "nothing to change (2 service groups: 2 in step)")

	// One owner's mistake is that owner's alone, and so is what one owner must not say.
	label("/shop/cart-green", `"nitrox": "on", "nitrox.io/service-group": "ns-root", "nitrox.io/max-remove": "100%"`)
	label("/shop/cart-blue", `"nitrox": "on", "nitrox.io/service-group": "sg-cart"`)
	says(run(1, "sync"), "shop/cart-green on edge: failed", "nitrox.io/max-remove: an owner cannot say this, only the mapping; remove it",
		"app /shop/cart-blue of source dcos claims this service group too, and is not served", ", 1 failed)")
	says(run(1, "doctor"), "FAILED      shop/cart-green", "nitrox.io/max-remove: an")
	run(1, "plan", "--show-discovered")
	label("/shop/cart-green", "")

	// Not wanted any more is not empty.
	label("/shop/account", "")
	says(run(0, "sync"), "shop-account-http: no app claims it any more: 4 members stay on edge")
	says(run(0, "sync", "--output", "json"), `"orphan": true`)
	says(run(0, "status"), "no app claims it any more: 4 members stay")
	says(run(0, "explain", "shop-account-http"), "kept: no app claims its service group", "if it has to go,\n", "unbind it on the NetScaler")
	label("/shop/cart-blue", "")
	says(run(0, "doctor", "--config", write("alone.yaml", head+discover)), "no app claims this service group any more", "ok          log-in",
		`ALLOW "^(bind|unbind|enable|disable|set) serviceGroup( |$)"`, "ALLOW \"^add (serviceGroup") // of names that are not known yet
	says(run(0, "plan", "--show-discovered"), "# no app claims it any more: shop-account-http on edge")
	if n := len(sim.Members("shop-account-http")); n != 4 {
		t.Errorf("it has %d members", n)
	}
	const told = "no app claims this service group any more"
	says(run(0, "doctor"), told)
	text, err = os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := write("bad.yaml", string(text)+"  - {source: dsco, select: nitrox=on, namespaces: [bank]}\n")
	if out := run(1, "doctor", "--config", bad); strings.Contains(out, told) {
		t.Errorf("an entry that is not understood may have it:\n%s", out)
	}
	c.Down(0, true)
	c.Down(1, true)
	c.Down(2, true)
	says(run(1, "sync"), "? source dcos failed", "! source dcos failed: its apps are not known")
	says(run(1, "sync", "--app", "shop-account-http"), `unknown app "shop-account-http"`, "not all apps are known: source dcos")
}

// heard runs a loop until its log has said something.
func heard(t *testing.T, dir, text string, args ...string) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	cmd := exec.CommandContext(ctx, "nitrox", args...)
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	for lines := bufio.NewScanner(log); !strings.Contains(said, text) && lines.Scan(); {
		said += lines.Text() + "\n"
	}
	if !strings.Contains(said, text) {
		t.Errorf("it does not say %q:\n%s", text, said)
	}
	end()
	_ = cmd.Wait() // it was killed
}
