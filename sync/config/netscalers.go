package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/textfile"
	"nitrox/sources/trust"

	"gopkg.in/yaml.v3"
)

// netscalerKeys are the keys of an entry of netscalers.
type netscalerKeys struct {
	URL                string              `yaml:"url"`
	URLs               []string            `yaml:"urls"`
	Proxy              *yaml.Node          `yaml:"proxy"`
	Username           string              `yaml:"username"`
	Password           *yaml.Node          `yaml:"password"`
	PasswordFile       sources.Path        `yaml:"password_file"`
	CAFile             sources.Path        `yaml:"ca_file"`
	ServerName         string              `yaml:"server_name"`
	CertificateSHA256  []trust.Fingerprint `yaml:"certificate_sha256"`
	InsecureSkipVerify bool                `yaml:"insecure_skip_verify"`
	Partition          string              `yaml:"partition"`
	Save               save                `yaml:"save"`
	SaveEvery          time.Duration       `yaml:"save_every"`
	Timeout            time.Duration       `yaml:"timeout"`
}

type save string

const (
	onChange save = "on_change"
	never    save = "never"
)

func (save) Words() []string { return []string{string(onChange), string(never)} }
func (s save) Check() error  { return oneOf(s) }

func (k *netscalerKeys) Check() error {
	if k.Timeout == 0 {
		return &sources.KeyError{Key: "timeout", Err: errors.New("must be more than 0")}
	}
	if len(k.CertificateSHA256) > 0 && (k.CAFile != "" || k.InsecureSkipVerify) {
		return &sources.KeyError{Key: "certificate_sha256", Err: errors.New("takes the place of ca_file and insecure_skip_verify; remove them")}
	}
	return nil
}

func oneOf[W interface {
	~string
	sources.Word
}](text W) error {
	if words := text.Words(); !slices.Contains(words, string(text)) {
		return fmt.Errorf("%q is not %s", string(text), or(words))
	}
	return nil
}

// appliance is a NetScaler that an app may name.
type appliance struct {
	name string
	place
	// same are what it shares with every entry that means the same appliance
	// and partition: its addresses, or its name if none could be read.
	same []string
}

func applianceName(a *appliance) string { return a.name }

func (d *decoder) netscalers(n *yaml.Node, m *Mapping, defs *definitions) {
	list, ok := d.entries(n, "netscalers")
	if ok && len(list) == 0 {
		d.problem(n, "netscalers: is empty; name at least one")
	}
	for _, e := range list {
		d.name(e.key, e.key.Value, "a NetScaler")
		a := &appliance{name: e.key.Value, place: d.place(e.key)}
		if i := slices.IndexFunc(defs.appliances, func(b *appliance) bool { return b.name == a.name }); i >= 0 {
			d.problem(e.key, "netscaler %s is defined twice; the first is %s", quote(a.name), d.on(defs.appliances[i].place))
			continue
		}
		defs.appliances = append(defs.appliances, a)
		m.NetScalers[a.name] = d.netscaler(e.value, a)
	}
}

func (d *decoder) netscaler(n *yaml.Node, a *appliance) NetScaler {
	k := netscalerKeys{Save: onChange, SaveEvery: 5 * time.Minute, Timeout: 10 * time.Second}
	o := d.object(n, fmt.Sprintf("netscaler %s", quote(a.name)), &k)
	if o == nil {
		return NetScaler{}
	}
	if k.Partition == "default" {
		k.Partition = "" // no need to switch to it
	}
	var urls []*url.URL
	var instance netip.Addr
	if k.Proxy == nil {
		urls = d.urls(o, k)
		for _, u := range urls {
			a.same = append(a.same, u.Host+" "+k.Partition)
		}
	} else if urls, instance = d.proxy(o, k); instance.IsValid() {
		a.same = []string{bracketed(instance.String()) + " "}
	}
	if len(urls) == 0 {
		a.same = []string{"netscaler " + a.name}
	}
	if k.InsecureSkipVerify {
		d.warn(o.at("insecure_skip_verify"), "insecure_skip_verify: anyone between here and the NetScaler can read the password and change what is sent; use ca_file or certificate_sha256")
	}
	if len(k.CertificateSHA256) > 0 && slices.ContainsFunc(urls, func(u *url.URL) bool { return u.Scheme == "http" }) {
		d.problem(o.at("certificate_sha256"), "certificate_sha256: http:// has no certificate; write https://")
	}
	d.certificates(o, k.CAFile)
	if err := sources.OpenToOthers(k.PasswordFile); err != nil && slices.ContainsFunc(urls, func(u *url.URL) bool { return !sources.Loopback(u.Hostname()) }) {
		d.warn(o.at("password_file"), "password_file: %v", err)
	}
	return NetScaler{
		Config: netscaler.Config{
			URLs:               names(urls, func(u *url.URL) string { return u.String() }),
			Instance:           instance,
			Username:           d.username(o, k),
			Password:           d.password(o, k),
			CAFile:             string(k.CAFile),
			ServerName:         k.ServerName,
			InsecureSkipVerify: k.InsecureSkipVerify,
			CertificateSHA256:  k.CertificateSHA256,
			Partition:          k.Partition,
			Timeout:            k.Timeout,
		},
		Save:      k.Save == onChange,
		SaveEvery: k.SaveEvery,
	}
}

func (d *decoder) username(o *object, k netscalerKeys) string {
	if _, given := o.values["username"]; given {
		if k.Username == "" && !o.wrong["username"] {
			d.problem(o.at("username"), "username: is empty")
		}
		return k.Username
	}
	name, _ := d.lookup("NS_USER")
	if name == "" {
		d.missing(o, "username", "give it, or set the environment variable NS_USER")
	}
	return name
}

// password returns the secret, and sees to it that it can be read now.
func (d *decoder) password(o *object, k netscalerKeys) netscaler.Secret {
	_, inFile := o.values["password_file"]
	switch {
	case inFile && k.Password != nil:
		d.problem(o.at("password"), "password: cannot be combined with password_file; give one of the two")
	case inFile && !o.wrong["password_file"]:
		secret := netscaler.SecretFile(string(k.PasswordFile))
		switch _, remark, err := textfile.Secret(string(k.PasswordFile)); {
		case err != nil:
			d.refuseKey(o, "password_file", fmt.Sprintf("read the password: %v", err))
		case remark != "":
			d.warn(o.at("password_file"), "password_file: %s", remark)
		}
		return secret
	case k.Password != nil:
		return d.passwordText(k.Password)
	case !inFile:
		const name = "NS_PASSWORD"
		password, _ := d.lookup(name)
		if password == "" {
			d.missing(o, "a password", "give password_file, or password: ${VARIABLE}, or set the environment variable "+name)
		} else {
			d.inspect(o.node, name, password)
		}
		return netscaler.SecretText(password)
	}
	return netscaler.Secret{}
}

var passwordVariable = regexp.MustCompile(`\bpassword["']?\s*:\s*["']?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// PasswordVariables are the environment variables that hold the passwords of a mapping,
// whatever else is wrong with it; none of what cannot be read. Files with limits have no
// passwords, and no say in what is in the environment.
func (f *Files) PasswordVariables() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.gather(true) {
		if d.limits == nil {
			names = append(names, PasswordVariablesIn(d.content)...)
		}
	}
	return names
}

// PasswordVariablesIn are those of a mapping's text.
func PasswordVariablesIn(text []byte) (names []string) {
	for _, found := range passwordVariable.FindAllSubmatch(text, -1) {
		names = append(names, string(found[1]))
	}
	return names
}

// passwordText reads a password that must be one variable and nothing else.
// What else stands there may be the password itself, and is not repeated.
func (d *decoder) passwordText(n *yaml.Node) netscaler.Secret {
	if null(n) {
		d.problem(n, "password: has no value; give one, or remove the key")
		return netscaler.Secret{}
	}
	name := onlyVariable.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || name == nil {
		d.problem(n, "password: must not be written in this file; write ${NAME} for an environment variable that holds it, or use password_file")
		return netscaler.Secret{}
	}
	password, set := d.lookup(name[1])
	if !set {
		d.problem(n, "password: the environment variable %s is not set", name[1])
	} else {
		d.inspect(n, name[1], password)
	}
	return netscaler.SecretText(password)
}

// inspect looks at a password that an environment variable holds.
func (d *decoder) inspect(n *yaml.Node, name, password string) {
	switch remark, err := textfile.Check("the environment variable "+name, password); {
	case err != nil:
		d.problem(n, "password: %v", err)
	case remark != "":
		d.warn(n, "password: %s", remark)
	}
}

func (d *decoder) certificates(o *object, file sources.Path) {
	if file == "" {
		return
	}
	pem, err := textfile.ReadFile(string(file))
	if err != nil {
		d.refuseKey(o, "ca_file", fmt.Sprintf("read the certificates: %v", err))
	} else if _, err = trust.Pool(string(file), pem); err != nil {
		d.refuseKey(o, "ca_file", err.Error())
	}
}
