package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/file"
	"nitrox/sources/kubernetes"
	"nitrox/sources/marathon"
	"nitrox/sync/config"
	"nitrox/sync/proposal"
)

// oldOptions are those of the Nitrox that was written in Python, of which --cfg-file
// and the URLs say where the apps are.
type oldOptions struct {
	swarm                         docker.Config
	marathon                      marathon.Config
	marathonURL, marathonPassword string
	kubeconfig, server            string
	token, tokenFile, authority   string
	cfgFile                       string
	insecureSwarm, insecureKube   bool
}

// fromAppInfo translates the environment and the options of the old Nitrox.
func (p *program) fromAppInfo(args []string) (string, error) {
	env := func(name string) string { text, _ := p.lookup(name); return text }
	var info struct {
		AppKey string           `json:"appkey"`
		Apps   []map[string]any `json:"apps"`
	}
	switch err := json.Unmarshal([]byte(env("APP_INFO")), &info); {
	case env("APP_INFO") == "":
		return "", errors.New("--from-app-info reads the environment variable APP_INFO, which is not set; run it where the old Nitrox runs")
	case err != nil:
		return "", fmt.Errorf("APP_INFO: this is not the JSON that the old Nitrox reads: %w", err)
	case len(info.Apps) == 0:
		return "", errors.New("APP_INFO has no apps, so there is nothing to translate")
	case env("NS_IP") == "":
		return "", errors.New("--from-app-info reads the environment variable NS_IP, which is not set; it is the address of the NetScaler")
	}
	old, err := readOldOptions(args)
	if err != nil {
		return "", err
	}
	kind, c, query, err := old.source(info.AppKey)
	if err != nil {
		return "", err
	}
	frontEnd := env("NS_CONFIG_FRONT_END")
	if yes, err := strconv.ParseBool(frontEnd); err == nil && !yes {
		frontEnd = ""
	}
	f := proposal.File{Intro: append([]string{
		"Translated by nitrox init from APP_INFO and the options of the Nitrox that was written",
		"in Python. Stop that one, and then, in this order: nitrox validate, nitrox doctor,",
		"nitrox plan, nitrox sync. What is different now is in docs/migrate.md.",
	}, old.remarks(kind)...)}
	f.Head = "netscalers:\n  " + edge + ":\n    url: " + proposal.Scalar(oldURL(env("NS_IP"))) + "\n"
	if user := env("NS_USER"); user != "" {
		f.Head += "    username: " + proposal.Scalar(user) + "\n"
	}
	if env("NS_PASSWORD") == "" && env("NS_PASSWD") != "" {
		f.Head += "    password: ${NS_PASSWD}\n"
	} else {
		f.Head += "    # The password is $NS_PASSWORD; give password_file to read it from a file.\n"
	}
	f.Head += fmt.Sprintf("sources:\n  %s: {%[1]s: {%s}}\n", kind, proposal.Keys(c))
	for _, app := range info.Apps {
		f.Apps = append(f.Apps, oldApp(app, frontEnd != "", kind, query))
	}
	return f.String(), nil
}

// oldURL is that of the NetScaler, whose address may come with a scheme already.
func oldURL(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		return "https://[" + address + "]"
	}
	return "https://" + address
}

func readOldOptions(args []string) (o oldOptions, err error) {
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = args[1:] // python main.py
	}
	set := flag.NewFlagSet("the old Nitrox", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for name, at := range map[string]*string{
		"swarm-url": &o.swarm.Host, "swarm-tls-ca-cert": (*string)(&o.swarm.CAFile), "swarm-tls-cert": (*string)(&o.swarm.CertFile),
		"swarm-tls-key": (*string)(&o.swarm.KeyFile), "marathon-url": &o.marathonURL, "marathon-user": &o.marathon.Username,
		"marathon-password": &o.marathonPassword, "kube-config": &o.kubeconfig, "kube-apiserver": &o.server, "kube-token": &o.token,
		"kube-token-file": &o.tokenFile, "kube-certificate-authority": &o.authority, "cfg-file": &o.cfgFile,
	} {
		set.StringVar(at, name, "", "")
	}
	set.BoolVar(&o.insecureSwarm, "swarm-allow-insecure", false, "")
	set.BoolVar(&o.insecureKube, "insecure-skip-tls-verify", false, "")
	if err := set.Parse(args); err != nil {
		return o, fmt.Errorf("options of the old Nitrox: %w", err)
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("options of the old Nitrox: after number %d there is a word that belongs to none; "+
			"put values with blanks in quotation marks", len(args)-set.NArg())
	}
	return o, nil
}

// source is the kind and configuration of the cluster manager, and how an app of a
// name is asked for there.
func (o oldOptions) source(key string) (kind string, c any, query func(name string) any, err error) {
	var given []string
	add := func(is bool, of string, config any, ask func(name string) any) {
		if is {
			given = append(given, of)
			kind, c, query = of, config, ask
		}
	}
	o.swarm.Kind = docker.Classic
	if o.insecureSwarm {
		o.swarm.CAFile, o.swarm.CertFile, o.swarm.KeyFile = "", "", ""
	}
	add(o.swarm.Host != "", "docker", o.swarm, func(name string) any {
		return docker.Query{Label: cmp.Or(key, "com.citrix.lb.appname") + "=" + name}
	})
	o.marathon.URLs = []string{o.marathonURL}
	if o.marathon.Username != "" {
		o.marathon.PasswordFile = "marathon-password"
	}
	add(o.marathonURL != "", "marathon", o.marathon, func(name string) any {
		return marathon.Query{App: "/" + strings.TrimPrefix(name, "/"), Port: "0"}
	})
	add(o.kubeconfig+o.server != "", "kubernetes", kubernetes.Config{Kubeconfig: sources.Path(cmp.Or(o.kubeconfig, "kubeconfig"))},
		func(name string) any { return kubernetes.Query{Service: "default/" + name} })
	add(o.cfgFile != "", "file", file.Config{Path: sources.Path(o.cfgFile)}, func(name string) any { return file.Query{App: name} })
	switch {
	case len(given) == 0:
		err = errors.New("where are the apps? Give the options of the old Nitrox after --, as in: " +
			"nitrox init --from-app-info -- --swarm-url tcp://10.0.0.5:2376")
	case len(given) > 1:
		err = fmt.Errorf("the old options name several sources: %s; give those of one, and add the others to the mapping",
			strings.Join(given, ", "))
	}
	return kind, c, query, err
}

// remarks are what is to be done about a source that was translated.
func (o oldOptions) remarks(kind string) (all []string) {
	switch kind {
	case "marathon":
		all = []string{"", "The port of each app is its first, as it was."}
		if o.marathon.Username != "" {
			all = append(all, "Put Marathon's password into the file marathon-password, readable for you alone.")
		}
	case "kubernetes":
		all = []string{"", "The services are those of the namespace default. Where one has several ports, name",
			"one with port. If the kubeconfig has several contexts, name one with context."}
		if o.server+o.token+o.tokenFile+o.authority != "" || o.insecureKube {
			all = append(all, "Put the API server, its authority and the token into that kubeconfig.")
		}
	}
	return all
}

// oldApp is an app of APP_INFO.
func oldApp(app map[string]any, frontEnd bool, source string, query func(name string) any) proposal.App {
	text := func(key string) string {
		value := app[key]
		delete(app, key)
		if value == nil {
			return ""
		}
		return fmt.Sprint(value)
	}
	a := proposal.App{Called: text("name")}
	own := strings.ReplaceAll(strings.TrimPrefix(a.Called, "/"), "/", "_")
	a.Name = cmp.Or(text("sg_name"), own)
	vserver, ip, port := cmp.Or(text("lb_name"), own), text("lb_ip"), text("lb_port")
	if frontEnd {
		a.Create = "{service_type: HTTP, vserver: {name: " + proposal.Scalar(vserver)
		if ip != "" {
			a.Create += ", ip: " + proposal.Scalar(ip) + ", port: " + proposal.Scalar(cmp.Or(port, "80")) + ", method: ROUNDROBIN"
		}
		a.Create += "}}"
	}
	q := query(a.Called)
	a.From = []proposal.Candidate{{Source: source, Listed: sources.Listed{Query: q}}}
	a.Note = "From APP_INFO."
	if len(app) > 0 {
		unknown := slices.Sorted(maps.Keys(app))
		for i, key := range unknown {
			unknown[i] = proposal.Scalar(key)
		}
		a.Note = "From APP_INFO, without what is not understood of it: " + strings.Join(unknown, ", ") + "."
	}
	switch checker, ok := q.(sources.Checker); {
	case !config.Named(a.Called, a.Name) || frontEnd && !config.Named(vserver, vserver):
		a.Unfit = "a mapping cannot have the names of APP_INFO's app " + proposal.Scalar(a.Called)
	case ok && checker.Check() != nil:
		a.Unfit = "its source cannot have an app " + proposal.Scalar(a.Called) + "; write its from entry by hand"
	}
	return a
}
