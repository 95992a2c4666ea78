//go:build e2e && linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// dist is the folder of a release for this machine, which all tests share: sweep
// removes it.
var dist = sync.OnceValues(func() (string, error) {
	out := filepath.Join(filepath.Dir(binaries.nitrox), "dist")
	cmd := exec.Command("go", "run", "./docs/release", "-version", "v1.2.3", "-date", "1790000000",
		"-targets", "linux/"+runtime.GOARCH, "-out", out)
	cmd.Dir = "../.."
	text, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, text)
	}
	return out, err
})

func newDist(t *testing.T) string {
	t.Helper()
	dir, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// installing is what docs/install.md types in a section: in the first terminal,
// where the second is waited for, and in the second.
func installing(t *testing.T, section string) string {
	t.Helper()
	_, text, _ := strings.Cut(read(t, "../../docs/install.md"), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	script := ""
	for _, m := range regexp.MustCompile("(?s)(?:<!-- ([a-z ]+) -->\n)?```sh\n(.*?)```\n").FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "":
			script += m[2]
		case "in a second terminal":
			script += strings.TrimSpace(m[2]) + " &\nsecond=$!\nuntil (echo > /dev/tcp/127.0.0.1/8088) 2>/dev/null; do sleep 0.1; done\n"
		}
	}
	if script == "" {
		t.Fatalf("docs/install.md types nothing in its section %s", section)
	}
	return strings.ReplaceAll(script, "linux_amd64", "linux_"+runtime.GOARCH)
}

// elsewhere boots a copy of this machine, with its systemd, and runs a script there as
// root in the folder of the release. Nothing of it is left: what is written goes into
// memory that ends with it, and its network and processes are its own.
func elsewhere(t *testing.T, script string) string {
	t.Helper()
	l := newLab(t)
	write(t, filepath.Join(l.dir, "typed"), "not() { if \"$@\"; then return 1; fi; } # after ! the shell takes no notice of a failure\n"+script)
	write(t, filepath.Join(l.dir, "typed.service"), `[Service]
Type=oneshot
Environment=HOME=/root DEBIAN_FRONTEND=noninteractive
WorkingDirectory=/dist
ExecStart=bash -c "bash -eux /out/typed > /out/said 2>&1; echo $? > /out/code"
ExecStopPost=systemctl poweroff --force --force
`)
	const join = `
cgroup=$(findmnt --noheadings --types cgroup2 --output TARGET | head -1)/$1
mkdir "$cgroup"
echo $$ > "$cgroup/cgroup.procs"
exec unshare --mount --net --pid --ipc --cgroup --fork --kill-child bash -euc "$0" "$2" "$3"`
	const boot = `
mkdir "$0/copy"
mount -t tmpfs tmpfs "$0/copy"
cd "$0/copy"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cd root
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mkdir -p dist out old
cp "$1"/* dist
cp "$0/typed.service" etc/systemd/system
mount --bind "$0" out
ip link set lo up
pivot_root . old
umount --lazy old
exec env -i container=copy PATH="$PATH" /lib/systemd/systemd --system --unit=typed.service`
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	log, err := exec.CommandContext(ctx, "bash", "-euc", join, boot, l.name, l.dir, newDist(t)).CombinedOutput()
	code, unfinished := os.ReadFile(filepath.Join(l.dir, "code"))
	if unfinished != nil {
		t.Fatalf("%v, %v\n%s", err, unfinished, log)
	}
	said := read(t, filepath.Join(l.dir, "said"))
	if string(code) != "0\n" {
		t.Fatalf("exit code %s%s", code, said)
	}
	return said
}

// firstPlan is a part of what the quickstart's plan prints.
const firstPlan = "AccountService: sg-account on edge: 2 serving, 4 wanted"

// installed holds in a copy of this machine right after either package is in.
const installed = `
[ "$(nitrox version | cut -d' ' -f2)" = v1.2.3 ]
id nitrox
[ "$(stat -c %U:%G:%a /etc/nitrox)" = root:nitrox:750 ]
for secret in nitrox.yaml netscaler-password; do
	[ "$(stat -c %U:%G:%a /etc/nitrox/$secret)" = root:nitrox:640 ]
	runuser -u nitrox -- cat /etc/nitrox/$secret
	not runuser -u nobody -- cat /etc/nitrox/$secret
done
not runuser -u nitrox -- touch /etc/nitrox/x
[ "$(systemctl is-enabled nitrox.service)" = disabled ]
[ "$(systemctl is-enabled nitrox-sync.timer)" = disabled ]
systemd-analyze verify --man=no nitrox.service nitrox-sync.timer
for file in man/man1/nitrox.1 bash-completion/completions/nitrox fish/vendor_completions.d/nitrox.fish doc/nitrox/docs/install.md \
	doc/nitrox/deploy/observe/rules.yaml; do
	[ -s /usr/share/$file ]
done
# As installed, it says what is missing, and does nothing.
not runuser -u nitrox -- nitrox plan --config /etc/nitrox/nitrox.yaml 2> said
grep 'netscaler-password is empty' said
kill $second
wait $second
`

// configured follows what the packages ask for, on another simulated NetScaler.
func configured(t *testing.T) string {
	cron := regexp.MustCompile(`(?m)^    \* \* \* \* \* nitrox (.*)$`).FindStringSubmatch(read(t, "../../docs/operate.md"))
	if cron == nil {
		t.Fatal("docs/operate.md has no line for cron")
	}
	return `
export NS_PASSWORD=secret
sed 's/username: nsroot/username: nitrox/; s/password_file: .*/password_file: netscaler-password/' ~/first/nitrox.yaml > nitrox.yaml
cp ~/first/endpoints.json /etc/nitrox
chgrp nitrox /etc/nitrox/endpoints.json
nitrox simulator --user nitrox --password secret --config ~/first/ns.conf &
until (echo > /dev/tcp/127.0.0.1/8088) 2>/dev/null; do sleep 0.1; done
` + installing(t, "What the packages do") + `
running() {
	[ "$(systemctl is-enabled nitrox.service)" = enabled ]
	[ "$(systemctl is-active nitrox.service)" = active ]
	before=${pid:-}
	pid=$(systemctl show --property MainPID --value nitrox.service)
	[ "$pid" != "$before" ]
	[ "$(stat -c %U /proc/$pid)" = nitrox ]
}
running
mine() {
	cmp nitrox.yaml /etc/nitrox/nitrox.yaml
	[ "$(cat /etc/nitrox/netscaler-password)" = secret ]
	[ "$(stat -c %U:%G:%a /etc/nitrox)" = root:nitrox:750 ]
}
mine
# As cron runs it: what it says would be mailed every minute.
mail=$(runuser -u nitrox -- env -i PATH=/usr/bin:/bin sh -c '` + cron[1] + `' 2>&1)
[ -z "$mail" ]
`
}

// removed holds when the program is gone and its configuration is not.
const removed = `
[ ! -e /usr/bin/nitrox ]
[ ! -e /proc/$pid ]
[ -z "$(find /usr/share /usr/lib -name 'nitrox*')" ]
[ -z "$(find /etc/systemd -name 'nitrox*')" ]
id nitrox
`

// TestInstallsAsADeb types what docs/install.md says for Debian on a copy of this
// machine, and then upgrades, removes and purges the package.
func TestInstallsAsADeb(t *testing.T) {
	t.Parallel()
	require(t)
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip(err) // no Debian
	}
	out := elsewhere(t, installing(t, "Debian and Ubuntu")+installed+`
dpkg --verify nitrox
[ -s /usr/share/doc/nitrox/copyright ]
[ -s /usr/share/zsh/vendor-completions/_nitrox ]
`+configured(t)+`
# A later version, which is the same but for its number and what it ships as an example.
dpkg-deb --raw-extract nitrox_v1.2.3_*.deb later
sed -i 's/^Version: .*/Version: 1.2.4/' later/DEBIAN/control
echo '# new' >> later/etc/nitrox/nitrox.yaml
dpkg-deb -Zgzip -z1 --build later > /dev/null
dpkg --install --force-confdef later.deb
[ "$(dpkg-query --show --showformat '${Version}' nitrox)" = 1.2.4 ]
running
mine
# A service that does not start is not the package's fault.
echo broken > /etc/nitrox/nitrox.yaml
dpkg --install --force-confdef later.deb
cp nitrox.yaml /etc/nitrox/nitrox.yaml
apt-get remove --yes nitrox
`+removed+`
mine
apt-get purge --yes nitrox
[ ! -e /etc/nitrox ]
`)
	if got := strings.Count(out, firstPlan); got != 2 {
		t.Errorf("%d of 2 plans:\n%s", got, out)
	}
}

// TestInstallsAsAnRPM does so with rpm, which knows nothing of what dpkg has installed
// here: so it is told not to look for what the package needs.
func TestInstallsAsAnRPM(t *testing.T) {
	t.Parallel()
	require(t)
	if _, err := exec.LookPath("rpm"); err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	out := elsewhere(t, `
rpm() { command rpm --nodeps "$@"; }
`+installing(t, "Red Hat, Fedora, SUSE")+installed+`
rpm --verify nitrox
[ -s /usr/share/licenses/nitrox/LICENSE ]
[ -s /usr/share/zsh/site-functions/_nitrox ]
[ "$(command rpm --query --requires nitrox | grep -v '^rpmlib')" = /usr/sbin/useradd ]
`+configured(t)+`
rpm --upgrade --force nitrox_v1.2.3_*.rpm
running
mine
rpm --erase nitrox
`+removed+`
mv /etc/nitrox/nitrox.yaml.rpmsave /etc/nitrox/nitrox.yaml
mv /etc/nitrox/netscaler-password.rpmsave /etc/nitrox/netscaler-password
mine
`)
	if got := strings.Count(out, firstPlan); got != 2 {
		t.Errorf("%d of 2 plans:\n%s", got, out)
	}
}
