package marathon

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"nitrox/sources/httpapi"
	"nitrox/sources/redact"
	"nitrox/sources/textfile"
	"nitrox/sources/trust"
)

// credentials are those of one poll.
type credentials struct {
	config Config
	dcos   *dcos // nil: no service account
}

// given says whether requests are made in the name of somebody, from whom
// Marathon may hide apps.
func (c credentials) given() bool {
	return c.config.Username != "" || c.config.TokenFile != "" || c.dcos != nil
}

// renew says how to be known to Marathon.
func (c credentials) renew() string {
	switch {
	case c.config.Username != "":
		return "correct username, or what is in password_file"
	case c.config.TokenFile != "":
		return "write a token that is valid into token_file"
	case c.dcos != nil:
		return "allow the service account to use this Marathon"
	}
	return "give username and password_file, token_file or service_account_file"
}

// authorize adds to a request what proves who makes it. Files are read each time:
// they may have been rotated. again: a token from a poll before will not do;
// renewed is set if this one is not.
func (c credentials) authorize(ctx context.Context, r *http.Request, again bool) (renewed bool, err error) {
	var token string
	switch {
	case c.config.Username != "":
		password, _, err := textfile.Secret(string(c.config.PasswordFile))
		if err != nil {
			return false, fmt.Errorf("read the password: %w", err)
		}
		redact.Keep(password)
		r.SetBasicAuth(c.config.Username, password)
		return true, nil
	case c.config.TokenFile != "":
		if token, _, err = textfile.Secret(string(c.config.TokenFile)); err != nil {
			return false, fmt.Errorf("read the token: %w", err)
		}
		renewed = true
	case c.dcos != nil:
		if token, renewed, err = c.dcos.take(ctx, string(c.config.ServiceAccountFile), again); err != nil {
			return false, fmt.Errorf("log in to DC/OS: %w", err)
		}
	default:
		return true, nil
	}
	r.Header.Set("Authorization", "token="+token)
	redact.Sent(r.Header)
	return renewed, nil
}

const (
	// tokenLife is how long a token is asked for, and loginLife how long the
	// proof is good that it is asked for with.
	tokenLife = time.Hour
	loginLife = time.Minute
	// renewBefore is how long before its end a token is no longer used.
	renewBefore = 10 * time.Second
)

// dcos has the token of a service account of DC/OS.
type dcos struct {
	mu      sync.Mutex
	http    *http.Client // that of the last poll
	account string       // the file's content that the token is for
	token   string
	until   time.Time
}

// use sets how requests are made from now on. What is logged in with is for one
// host only, so that no redirect is followed.
func (d *dcos) use(t http.RoundTripper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.http = &http.Client{Transport: t, CheckRedirect: httpapi.Stay}
}

// take gives a token: that of a login before, if it is still good.
func (d *dcos) take(ctx context.Context, file string, again bool) (token string, renewed bool, err error) {
	content, err := textfile.ReadFile(file)
	if err != nil {
		return "", false, err
	}
	d.mu.Lock()
	token, good := d.token, d.account == string(content) && time.Now().Before(d.until)
	client := d.http
	d.mu.Unlock()
	if good && !again {
		return token, false, nil
	}
	var a serviceAccount
	if err := a.parse(content); err != nil {
		return "", false, fmt.Errorf("%s: %w", file, err)
	}
	now := time.Now()
	if token, err = a.login(ctx, client, now); err != nil {
		return "", false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.account, d.token, d.until = string(content), token, now.Add(tokenLife-renewBefore)
	return token, true, nil
}

// serviceAccount is the file that DC/OS's own tools write.
type serviceAccount struct {
	UID           string `json:"uid"`
	PrivateKey    string `json:"private_key"`
	LoginEndpoint string `json:"login_endpoint"`
	Scheme        string `json:"scheme"`

	endpoint *url.URL
	key      *rsa.PrivateKey
}

// parse reads the file. Its errors do not repeat what is in it.
func (a *serviceAccount) parse(text []byte) error {
	if json.Unmarshal(text, a) != nil {
		return errors.New("it is not a JSON object with uid, private_key and login_endpoint")
	}
	var err error
	a.endpoint, err = url.Parse(a.LoginEndpoint)
	switch {
	case a.UID == "":
		return errors.New("it has no uid")
	case a.Scheme != "" && a.Scheme != "RS256":
		return fmt.Errorf("its scheme is %q, but only RS256 is supported", a.Scheme)
	case err != nil || a.endpoint.Host == "" || a.endpoint.User != nil || a.endpoint.Scheme != "https" && a.endpoint.Scheme != "http":
		return errors.New("its login_endpoint is not a URL like https://leader.mesos/acs/api/v1/auth/login")
	}
	redact.Keep(a.PrivateKey)
	block, _ := pem.Decode([]byte(a.PrivateKey))
	if block == nil {
		return errors.New("its private_key is not PEM")
	}
	var key any
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return errors.New("its private_key cannot be read")
		}
	}
	ok := false
	if a.key, ok = key.(*rsa.PrivateKey); !ok {
		return errors.New("its private_key is not an RSA key")
	}
	return nil
}

// login fetches a token, in exchange for a short-lived one that proves that the
// key is here.
func (a *serviceAccount) login(ctx context.Context, client *http.Client, now time.Time) (string, error) {
	proof, err := a.sign(now.Add(loginLife))
	if err != nil {
		return "", err
	}
	redact.Session(proof)
	body, err := json.Marshal(map[string]any{"uid": a.UID, "token": proof, "exp": now.Add(tokenLife).Unix()})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return "", fmt.Errorf("%s: %w", a.endpoint, trust.Explain(httpapi.Cause(err), trustKeys))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// What it says might repeat what it was sent.
		return "", fmt.Errorf("%s: %d %s", a.endpoint, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	text, err := httpapi.ReadAll(resp, 1<<20)
	if err != nil {
		return "", fmt.Errorf("%s: %w", a.endpoint, err)
	}
	var answer struct{ Token string }
	if json.Unmarshal(text, &answer) != nil || answer.Token == "" {
		return "", fmt.Errorf("%s: the answer has no token", a.endpoint)
	}
	return answer.Token, nil
}

// sign makes a JSON web token (RFC 7519) that is signed with RS256 (RFC 7518).
func (a *serviceAccount) sign(until time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{"uid": a.UID, "exp": until.Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + encode(signature), nil
}
