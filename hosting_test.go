package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"nitrox/netscaler/simulator"
	"nitrox/sources/sourcetest"
)

// tool is where a program is that not every machine has. Without it the test is
// skipped, or fails in CI.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%v (Debian has it in %s)", err, debian)
	}
	if err != nil {
		t.Skipf("%v (Debian has it in %s)", err, debian)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// systemd understands every line of the units, and finds little that they could
// still be denied.
func TestSystemdUnitsAreValidAndHardened(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	units, err := filepath.Glob("examples/systemd/*.*r*")
	if err != nil {
		t.Fatal(err)
	}
	copies := []string{}
	for _, unit := range units {
		if ext := filepath.Ext(unit); ext != ".service" && ext != ".timer" {
			continue
		}
		path := filepath.Join(dir, filepath.Base(unit))
		// verify wants the program to exist.
		text := strings.ReplaceAll(readFile(t, unit), "ExecStart=nitrox ", "ExecStart=/bin/true ")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, path)
	}
	if len(copies) != 3 {
		t.Fatalf("%d units in %v", len(copies), units)
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, copies...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for _, path := range copies {
		if filepath.Ext(path) != ".service" {
			continue
		}
		// The exposure in tenths; what is left is that it uses the network.
		out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=13", path).CombinedOutput()
		if err != nil {
			t.Errorf("security of %s: %v\n%s", filepath.Base(path), err, out)
		}
	}
}

// The command line of nitrox.service does what its Type=notify and WatchdogSec
// promise, with the password as a credential.
func TestSystemdServiceTellsHowTheLoopGoes(t *testing.T) {
	unit := readFile(t, "examples/systemd/nitrox.service")
	line := regexp.MustCompile(`(?m)^ExecStart=nitrox (.*)$`).FindStringSubmatch(unit)
	watchdog := regexp.MustCompile(`(?m)^WatchdogSec=(\d+)$`).FindStringSubmatch(unit)
	if line == nil || watchdog == nil {
		t.Fatal("no ExecStart or WatchdogSec")
	}
	every := regexp.MustCompile(`--loop (\S+)`).FindStringSubmatch(line[1])
	interval, err := time.ParseDuration(every[1])
	seconds, _ := strconv.Atoi(watchdog[1])
	if err != nil || time.Duration(seconds)*time.Second < interval {
		t.Errorf("the watchdog's %d s are shorter than the interval of %v", seconds, interval)
	}

	dir := t.TempDir()
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
	sim.AddGroup("shop")
	server := httptest.NewServer(sim)
	defer server.Close()
	readme := readFile(t, "examples/systemd/README.md")
	mapping := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readme)
	if mapping == nil {
		t.Fatal("no mapping in README.md")
	}
	for name, text := range map[string]string{
		"nitrox.yaml": strings.ReplaceAll(mapping[1], "https://192.0.2.10", server.URL) +
			"sources: {lab: {file: {path: endpoints.json}}}\napps: [{name: shop, from: [{source: lab, app: shop}]}]\n",
		"endpoints.json":     `{"apps": {"shop": ["10.0.0.1:80"]}}`,
		"netscaler-password": password + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	args := strings.NewReplacer("/etc/nitrox/nitrox.yaml", filepath.Join(dir, "nitrox.yaml"), "127.0.0.1:9090", "127.0.0.1:0").Replace(line[1])
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nitrox", strings.Fields(args)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "CREDENTIALS_DIRECTORY="+dir, "WATCHDOG_USEC=200000", "WATCHDOG_PID=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := ""
	hear := func(want string) {
		t.Helper()
		for !strings.Contains(heard, want) {
			b := make([]byte, 4096)
			if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(b)
			if err != nil {
				cancel()
				t.Fatalf("%q is not said, but %q: %v, %v\n%s", want, heard, err, cmd.Wait(), log.String())
			}
			heard += string(b[:n]) + "\n"
		}
	}
	hear("READY=1")
	if got := fmt.Sprint(sim.Members("shop")); !strings.Contains(got, "10.0.0.1:80") {
		t.Errorf("ready, and the members are %s", got)
	}
	hear("WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v\n%s", err, log.String())
	}
	if n := sim.Sessions(); n > 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// The examples allow the memory of the row of the measurements that docs/limits.md says
// they serve, and that leaves room.
func TestExamplesAllowTheMemoryThatWasMeasured(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| 1000 × 20 \| 1000 \| (\d+)M \| (\d+) \| \S+ \| (\d+) \| \S+ \| (\d+) \|`).FindStringSubmatch(readFile(t, "docs/benchmarks.md"))
	if row == nil {
		t.Fatal("docs/benchmarks.md has no peaks of 1,000 apps of 20 members")
	}
	allowed, err := strconv.Atoi(row[1])
	for _, text := range row[2:] {
		peak, err2 := strconv.Atoi(text)
		if err := errors.Join(err, err2); err != nil || peak*1_000_000 > allowed<<20*8/10 {
			t.Errorf("%d MB of %d MiB: %v", peak, allowed, err)
		}
	}
	for folder, want := range map[string]int{"examples": 8, "docs/docker.md": 2} {
		limits := 0
		err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			for _, m := range regexp.MustCompile(`(?:limits: \{memory: |MemoryMax=|"mem": |--memory )(\w+)`).FindAllStringSubmatch(readFile(t, path), -1) {
				if limits++; strings.Trim(m[1], "Mim") != row[1] {
					t.Errorf("%s allows %s, and not %sM", path, m[1], row[1])
				}
			}
			return nil
		})
		if err != nil || limits != want {
			t.Errorf("%d limits in %s: %v", limits, folder, err)
		}
	}
}

func TestInstallsWithGo(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	installs(t, "With Go", ".")
}

// installs types what docs/install.md says in a section, in a folder and with a home
// of its own, to the first plan. The simulator has another port, which is free.
func installs(t *testing.T, section, dir string) {
	t.Helper()
	address := sourcetest.FreeAddress(t)
	var cache []string
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		cache = append(cache, name+"="+strings.TrimSpace(string(out)))
	}
	_, text, _ := strings.Cut(readFile(t, "docs/install.md"), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	script := ""
	for _, m := range regexp.MustCompile("(?s)(<!-- in a second terminal -->\n)?```sh\n(.*?)```\n").FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			script += m[2]
			continue
		}
		script += "sed s/127.0.0.1:8088/" + address + "/ ~/first/nitrox.yaml > ~/other && mv ~/other ~/first/nitrox.yaml\n" +
			strings.TrimSpace(m[2]) + " --listen " + address + " & trap 'kill $!' EXIT\n" +
			"until (echo > /dev/tcp/" + strings.Replace(address, ":", "/", 1) + ") 2>/dev/null; do sleep 0.1; done\n"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", strings.ReplaceAll(script, "linux_amd64", runtime.GOOS+"_"+runtime.GOARCH))
	cmd.Dir = dir
	cmd.Env = append(cache, "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\nAccountService: sg-account on edge: 2 serving, 4 wanted\n")) {
		t.Errorf("%s: %v\n%s\n%s", section, err, script, out)
	}
}

// The manual page names every command and option that there is, and no other.
func TestManualPageIsComplete(t *testing.T) {
	page := strings.ReplaceAll(readFile(t, "docs/release/nitrox.1"), `\-`, "-")
	there := map[string]bool{}
	for _, command := range new(program).app().Commands {
		if !strings.Contains(page, "\n.B "+command.Name+"\n") {
			t.Errorf("there is no command %s", command.Name)
		}
		for _, flag := range command.Flags {
			for _, name := range flag.Names() {
				dashes := "--"[:min(2, len(name))]
				there[dashes+name] = true
				if !regexp.MustCompile(regexp.QuoteMeta(dashes+name) + `\b`).MatchString(page) {
					t.Errorf("%s: there is no option %s", command.Name, dashes+name)
				}
			}
		}
	}
	for _, option := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(page, -1) {
		if !there[option] {
			t.Errorf("it names the option %s, which nothing has", option)
		}
	}
	if man, err := exec.LookPath("man"); err == nil {
		if out, err := exec.Command(man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "docs/release/nitrox.1").CombinedOutput(); err != nil || bytes.Contains(out, []byte("warning")) {
			t.Errorf("man: %v\n%s", err, out)
		}
	}
}

// What replicas serve to other machines is for those alone that the policy names.
func TestReplicasAreNotOpenToAll(t *testing.T) {
	var listed struct{ Resources []string }
	dir := "examples/kubernetes/replicas/"
	if err := yaml.Unmarshal([]byte(readFile(t, dir+"kustomization.yaml")), &listed); err != nil || !slices.Contains(listed.Resources, "networkpolicy.yaml") {
		t.Fatalf("%v lacks the policy: %v", listed, err)
	}
	type labels = map[string]map[string]string
	var policy struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Namespace string }
		Spec       struct {
			PodSelector labels   `yaml:"podSelector"`
			PolicyTypes []string `yaml:"policyTypes"`
			Ingress     []struct {
				From  []map[string]labels
				Ports []struct{ Protocol, Port string }
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(readFile(t, dir+"networkpolicy.yaml")))
	if err := decoder.Decode(&policy); err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Metadata struct{ Namespace string }
		Spec     struct {
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					Containers []struct {
						Ports []struct {
							Name          string
							ContainerPort int `yaml:"containerPort"`
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readFile(t, dir+"deployment.yaml")), &deployment); err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template
	s := policy.Spec
	switch {
	case policy.APIVersion != "networking.k8s.io/v1" || policy.Kind != "NetworkPolicy" || policy.Metadata != deployment.Metadata:
		t.Errorf("it is a %s %s in %s", policy.APIVersion, policy.Kind, policy.Metadata)
	case !maps.Equal(s.PodSelector["matchLabels"], pod.Metadata.Labels) || !slices.Equal(s.PolicyTypes, []string{"Ingress"}):
		t.Errorf("it is for %v, and the pods are %v", s.PodSelector, pod.Metadata.Labels)
	case len(s.Ingress) != 1 || len(s.Ingress[0].From) != 1 || len(s.Ingress[0].From[0]["podSelector"]["matchLabels"]) == 0 ||
		len(s.Ingress[0].From[0]["namespaceSelector"]["matchLabels"]) == 0:
		t.Errorf("it lets too many in: %v", s.Ingress)
	case len(s.Ingress[0].Ports) != 1 || s.Ingress[0].Ports[0].Port != pod.Spec.Containers[0].Ports[0].Name:
		t.Errorf("it is about the ports %v, and the pod has %v", s.Ingress[0].Ports, pod.Spec.Containers[0].Ports)
	}
}

// The mapping that the pods run is a file that validate reads.
func TestTheMappingInKubernetesIsAFile(t *testing.T) {
	var k struct {
		ConfigMapGenerator []struct {
			Name, Namespace string
			Files           []string
			Options         struct {
				DisableNameSuffixHash bool `yaml:"disableNameSuffixHash"`
			}
		} `yaml:"configMapGenerator"`
	}
	dir := "examples/kubernetes/"
	if err := yaml.Unmarshal([]byte(readFile(t, dir+"base/kustomization.yaml")), &k); err != nil {
		t.Fatal(err)
	}
	if len(k.ConfigMapGenerator) != 1 || k.ConfigMapGenerator[0].Name != "nitrox" || !slices.Equal(k.ConfigMapGenerator[0].Files, []string{"nitrox.yaml"}) || !k.ConfigMapGenerator[0].Options.DisableNameSuffixHash {
		t.Errorf("the ConfigMap is not made of nitrox.yaml under its own name: %+v", k)
	}
	for _, pods := range []string{"loop/deployment.yaml", "cronjob/cronjob.yaml", "replicas/deployment.yaml"} {
		text := readFile(t, dir+pods)
		for _, want := range []string{"/etc/nitrox/nitrox.yaml", "configMap: {name: nitrox}", "mountPath: /etc/nitrox,", "mountPath: /etc/netscaler,"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s", pods, want)
			}
		}
	}
	var out, log bytes.Buffer
	if code := run(t.Context(), []string{"nitrox", "validate", "--config", dir + "base/nitrox.yaml"}, &out, &log, func(string) (string, bool) { return "", false }); code != 0 {
		t.Errorf("validate: %d\n%s%s", code, &out, &log)
	}
}
