package marathon

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
	"nitrox/sources/textfile"
	"nitrox/sources/trust"
)

// Config is a marathon source of the mapping.
type Config struct {
	// URLs are those of the Marathons of one cluster, tried in turn:
	// http://m1:8080, or with a path, https://dcos.example.com/service/marathon.
	URLs []string `yaml:"urls"`
	// Username is that of basic authentication, and PasswordFile holds its
	// password.
	Username     string       `yaml:"username"`
	PasswordFile sources.Path `yaml:"password_file"`
	// TokenFile holds a token of DC/OS.
	TokenFile sources.Path `yaml:"token_file"`
	// ServiceAccountFile is a service account of DC/OS, with which a token is
	// fetched: a JSON object with uid, private_key and login_endpoint.
	ServiceAccountFile sources.Path `yaml:"service_account_file"`
	// CAFile holds the certificates that Marathon's must be signed by; without
	// it the system's are used. This and the other files are read again for each
	// poll.
	CAFile sources.Path `yaml:"ca_file"`
	// CertificateSHA256 are the fingerprints of the only certificates to trust in
	// Marathon, instead of any that have the right name and authority.
	CertificateSHA256 []trust.Fingerprint `yaml:"certificate_sha256"`
}

// Check implements [sources.Checker].
func (c Config) Check() error {
	var problems sources.Problems
	if len(c.URLs) == 0 {
		problems.Add("urls", "give the URL of Marathon, such as http://m1.example.com:8080")
	}
	secure := false
	var seen []string
	for i, text := range c.URLs {
		key := fmt.Sprintf("urls[%d]", i)
		u, err := parseURL(text)
		if err != nil {
			problems.Add(key, "%w", err)
			continue
		}
		if slices.Contains(seen, u.String()) {
			problems.Add(key, "%s is listed twice", u)
		}
		seen = append(seen, u.String())
		secure = secure || u.Scheme == "https"
	}
	var ways []string
	if c.Username != "" || c.PasswordFile != "" {
		ways = append(ways, "username")
	}
	if c.TokenFile != "" {
		ways = append(ways, "token_file")
	}
	if c.ServiceAccountFile != "" {
		ways = append(ways, "service_account_file")
	}
	if len(ways) > 1 {
		problems.Add(ways[1], "%s is already given; use one of the two", ways[0])
	}
	switch {
	case c.Username == "" && c.PasswordFile != "":
		problems.Add("password_file", "it only works with username")
	case c.Username != "" && c.PasswordFile == "":
		problems.Add("username", "it needs a password_file")
	case strings.Contains(c.Username, ":"):
		problems.Add("username", "it must not contain a colon, which basic authentication cannot send")
	}
	if len(seen) > 0 && !secure && c.ServiceAccountFile == "" {
		if c.CAFile != "" {
			problems.Add("ca_file", "it only works with https")
		}
		if len(c.CertificateSHA256) > 0 {
			problems.Add("certificate_sha256", "it only works with https")
		}
	}
	if c.CAFile != "" && len(c.CertificateSHA256) > 0 {
		problems.Add("certificate_sha256", "it takes the place of ca_file; remove one of the two")
	}
	return problems.Err()
}

func (c Config) certificates() httpapi.Certificates {
	return httpapi.Certificates{CAFile: c.CAFile, SHA256: c.CertificateSHA256}
}

// Warnings implements [sources.Warner].
func (c Config) Warnings() error {
	var problems sources.Problems
	for i, text := range c.URLs {
		u, err := parseURL(text)
		if err == nil && inTheClear(u) && (c.Username != "" || c.TokenFile != "" || c.ServiceAccountFile != "") {
			problems.Add(fmt.Sprintf("urls[%d]", i), "http:// sends the credentials in the clear; use https://")
		}
	}
	if text, err := bounds.ReadFile(string(c.ServiceAccountFile)); err == nil {
		var a serviceAccount
		if a.parse(text) == nil && inTheClear(a.endpoint) {
			problems.Add("service_account_file", "its login_endpoint begins with http://, so that the token is sent in the clear; use https://")
		}
	}
	for key, file := range c.secretFiles() {
		problems.Expose(key, file)
		if _, remark, err := textfile.Secret(string(file)); err == nil && remark != "" {
			problems.Add(key, "%s", remark)
		}
	}
	problems.Expose("service_account_file", c.ServiceAccountFile)
	return problems.Err()
}

// inTheClear: what is sent there can be read on the way.
func inTheClear(u *url.URL) bool { return u.Scheme == "http" && !sources.Loopback(u.Hostname()) }

// secretFiles are those that hold a secret and nothing else, by their keys.
func (c Config) secretFiles() map[string]sources.Path {
	files := map[string]sources.Path{"password_file": c.PasswordFile, "token_file": c.TokenFile}
	maps.DeleteFunc(files, func(_ string, file sources.Path) bool { return file == "" })
	return files
}

// CheckFiles implements [sources.FileChecker].
func (c Config) CheckFiles() error {
	var problems sources.Problems
	for key, file := range c.secretFiles() {
		if _, _, err := textfile.Secret(string(file)); err != nil {
			problems.Add(key, "%w", err)
		}
	}
	if file := string(c.ServiceAccountFile); file != "" {
		content, err := textfile.ReadFile(file)
		if err == nil {
			if err = new(serviceAccount).parse(content); err != nil {
				err = fmt.Errorf("%s: %w", file, err)
			}
		}
		if err != nil {
			problems.Add("service_account_file", "%w", err)
		}
	}
	return errors.Join(c.certificates().Check(), problems.Err())
}

// parseURL reads the root of a Marathon's API. Its errors do not repeat text
// that may hold a password.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("this is not a URL like http://m1.example.com:8080")
	case u.User != nil:
		return nil, errors.New("do not put a password in a URL; use username and password_file")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("give only a host, a port and a path")
	}
	// The path of some documentation: the requests below bring their own.
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v2")
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: path}, nil
}

// Query is a from entry of the mapping.
type Query struct {
	// App is the app's path in Marathon, "/shop/account".
	App string `yaml:"app"`
	// Port is which of the app's ports is meant. A number is an index if it is
	// below the number of ports, or else a service port, or else a container's
	// port; other text is a port's name. A protocol may follow: 53/udp. It may be
	// left out if there is one.
	Port sources.Port `yaml:"port"`
}

// In implements [sources.Namespaced]; a namespace is the path of a group.
func (q Query) In(namespace string) bool {
	return strings.HasPrefix(q.App, "/"+strings.Trim(namespace, "/")+"/")
}

// segment is what a part of an app's path may be: "Application id", Marathon
// API reference.
var segment = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// Check implements [sources.Checker].
func (q Query) Check() error {
	path := strings.Split(strings.TrimPrefix(q.App, "/"), "/")
	switch {
	case q.App == "":
		return &sources.KeyError{Key: "app", Err: errors.New("give the app's path in Marathon, such as /shop/account")}
	case !strings.HasPrefix(q.App, "/"):
		return &sources.KeyError{Key: "app", Err: fmt.Errorf("%q does not begin with a slash; did you mean %q?", q.App, "/"+q.App)}
	}
	for _, s := range path {
		if !segment.MatchString(s) {
			return &sources.KeyError{Key: "app", Err: fmt.Errorf("%q cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes", q.App)}
		}
	}
	return nil
}
