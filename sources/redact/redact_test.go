package redact

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// forget empties what is known for a test.
func forget(t testing.TB) {
	t.Helper()
	reset := func() {
		known.Lock()
		defer known.Unlock()
		known.common, known.lasting, known.passing, known.byFirst, known.begins = nil, nil, nil, [256][]string{}, [256][256]bool{}
	}
	reset()
	t.Cleanup(reset)
}

// echoes are the ways in which a server may repeat a secret. Each takes what the
// one before it may have made.
var echoes = map[string]func(string) string{
	"as it is": func(s string) string { return s },
	"JSON":     jsonOf,
	"JSON that escapes nothing for HTML": func(s string) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)
		return b.String()
	},
	"JSON in ASCII":            asciiJSON,
	"JSON with escaped slash":  func(s string) string { return strings.ReplaceAll(asciiJSON(s), "/", `\/`) },
	"quoted by Go":             strconv.Quote,
	"quoted by Go in ASCII":    strconv.QuoteToASCII,
	"a query":                  url.QueryEscape,
	"a path":                   url.PathEscape,
	"every byte in per cent":   percent,
	"HTML":                     html.EscapeString,
	"HTML by number":           func(s string) string { return mapped(s, "&#%d;") },
	"HTML by hexadecimal":      func(s string) string { return mapped(s, "&#x%X;") },
	"base64":                   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 without padding":   func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"base64 for URLs":          func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"base64 with a user":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte("nitrox:" + s)) },
	"base64 with another user": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("op:" + s + "\n")) },
	"hexadecimal":              func(s string) string { return hex.EncodeToString([]byte(s)) },
	"base64 in lines":          func(s string) string { return folded(base64.StdEncoding.EncodeToString([]byte("nitrox:" + s))) },
	"base64 of JSON": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(`{"password":` + jsonOf(s) + "}"))
	},
	"base64 of a query":     func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte("p=" + url.QueryEscape(s))) },
	"base64 twice":          func(s string) string { return base64.StdEncoding.EncodeToString([]byte("Basic " + basic("nitrox", s))) },
	"hexadecimal of base64": func(s string) string { return hex.EncodeToString([]byte(basic("nitrox", s))) },
	"HEXADECIMAL":           func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
}

func jsonOf(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// folded is broken into lines, as PEM and mail are.
func folded(s string) string {
	var lines []string
	for ; len(s) > 5; s = s[5:] {
		lines = append(lines, s[:5])
	}
	return strings.Join(append(lines, s), "\r\n ")
}

func asciiJSON(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		switch {
		case unit == '"', unit == '\\':
			b.WriteString(`\` + string(rune(unit)))
		case unit < ' ', unit > '~':
			fmt.Fprintf(&b, `\u%04X`, unit)
		default:
			b.WriteRune(rune(unit))
		}
	}
	return `"` + b.String() + `"`
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func mapped(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

var odd = []string{
	"hunter22", `pa"ss\wo<r>d&`, "tab\tin it", "pässwört", "a+b/c=d%e", "%25%2525", `\\\\server\`, "smile😀smile", "&amp;&lt;x", "two  blanks", "x&#39;y<z",
}

func TestASecretIsHiddenHoweverItIsEchoed(t *testing.T) {
	for _, secret := range odd {
		forget(t)
		Keep(secret)
		for name, echo := range echoes {
			for outer, again := range map[string]func(string) string{
				"": echoes["as it is"], "JSON": echoes["JSON"], "HTML": echoes["HTML"], "a query": echoes["a query"], "every byte in per cent": percent,
			} {
				text := again(echo(secret))
				got := Line("you sent: "+text+" and that is wrong", 500)
				// What may be left is the quotes.
				left := strings.TrimSuffix(strings.TrimPrefix(got, "you sent: "), " and that is wrong")
				left = strings.ReplaceAll(left, Hidden, "")
				for _, quote := range []string{`%22`, `%5C`, `%3D`, `%5c`, `&#34;`, `%250A`, `%25`, `%0A`, `%0a`, `%`, `\`, `"`, `n`, `=`, `+`} {
					left = strings.ReplaceAll(left, quote, "")
				}
				if !strings.Contains(got, Hidden) || !strings.Contains(got, "and that is wrong") || left != "" {
					t.Errorf("%q as %s, and that as %q: %s\nis shown as %s", secret, name, outer, text, got)
				}
			}
		}
	}
}

func TestWhatIsLeftOfASecretThatWasCutOff(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"password":"correct hor`, `{"password":"***`},
		{`{"password":"correct hor... 20 bytes more`, `{"password":"***... 20 bytes more`},
		{`got "cor`, `got "cor`}, // a few letters are a part of any word
		{`got "corr`, `got "***`},
		{`correctly done`, `correctly done`},
		{`the horse battery`, `the horse battery`},
		{`password=correct%20hor%2`, `password=***%2`},
		{`Basic ` + base64.StdEncoding.EncodeToString([]byte("nitrox:correct horse battery"))[:20], "Basic ***"},
		{strings.Repeat(" ", most-len("correct hors")) + "correct horse battery", "***…"},
	} {
		forget(t)
		Keep("correct horse battery")
		if got := Line(c.text, 500); got != c.want {
			t.Errorf("%.80q: %q, want %q", c.text, got, c.want)
		}
	}
}

// Half a secret is not hidden in what messages consist of: it may begin like a port, or
// like the name of an app.
func TestASecretThatBeginsLikeSomethingCommon(t *testing.T) {
	forget(t)
	Common("payments", "payments-api", "old-claims", "shop")
	Keep("8080-of-prod", "payments-2026", "claims-2026", "shop!")
	for _, text := range []string{
		"bound 10.0.0.1:8080", "http://127.0.0.1:58080", "ended with 8080.", "payments: 4 serving", "nothing for payments",
		"payments-api", "sg of payments-api: 4 serving", "nothing for old-claims", "no app /payments", "unknown app shop",
	} {
		if got := Line(text, 500); got != text {
			t.Errorf("%s\nis shown as %s", text, got)
		}
	}
	for text, want := range map[string]string{
		`{"password":"8080`: `{"password":"***`, "password=payments": "password=***", "got 8080-o": "got ***",
		"got payments-202": "got ***", "got payments-20 of it": "got *** of it", "got payments-2026 of it": "got *** of it",
	} {
		if got := Line(text, 500); got != want {
			t.Errorf("%s\nis shown as %s, not %s", text, got, want)
		}
	}
}

// A secret that messages consist of would make them unreadable, and be told by
// what they lack.
func TestACommonSecretIsHiddenWhereItIsSaidToBeOne(t *testing.T) {
	const report = "sg-account on edge: 4 serving; + bind 10.0.0.1:80 as nitrox, the order is true; a member of abc"
	for _, secret := range []string{"a", "80", "4", "abc", "nitrox", "edge", "true", "10.0.0.1"} {
		forget(t)
		Common("edge", "nitrox", "true")
		Keep(secret)
		if got := Line(report, 500); got != report || !IsCommon(secret) {
			t.Errorf("%q makes the report\n%s", secret, got)
		}
		for text, want := range map[string]string{
			`{"login":{"username":"u","password":"` + secret + `"}}`:         `{"login":{"username":"u","password":"***"}}`,
			`&#34;password&#34;: &#34;` + secret + `&#34;`:                   `&#34;password&#34;: &#34;***&#34;`,
			`{\"password\":\"` + secret + `\"}`:                              `{\"password\":\"***\"}`,
			"user=u&password=" + secret + "&x=1":                             "user=u&password=***&x=1",
			"Cookie: NITRO_AUTH_TOKEN=" + secret:                             "Cookie: NITRO_AUTH_TOKEN=***",
			"Authorization: token=" + secret:                                 "Authorization: token=***",
			"Bearer " + secret + ".":                                         "Bearer ***.",
			"Authorization: Basic " + basic("op", secret):                    "Authorization: Basic ***",
			"the password: " + secret + "x":                                  "the password: " + secret + "x",
			"Basic " + base64.StdEncoding.EncodeToString([]byte("x"+secret)): "Basic " + base64.StdEncoding.EncodeToString([]byte("x"+secret)),
		} {
			if got := Line(text, 500); got != want {
				t.Errorf("%q: %s\nis shown as %s, not %s", secret, text, got, want)
			}
		}
	}
	for _, secret := range []string{"hunter2", "123456", "edges", "Nitrox"} {
		forget(t)
		Common("edge", "nitrox")
		Keep(secret)
		if got := Line("it was "+secret+"!", 100); got != "it was ***!" || IsCommon(secret) {
			t.Errorf("%s: %s", secret, got)
		}
	}
}

// Nearly every number can be read as hexadecimal, and nearly every path as base64: what
// they would say by chance hides nothing.
func TestACommonSecretIsNotFoundByChance(t *testing.T) {
	forget(t)
	Keep("a", "x", "80", "op", "4711", "abc")
	said := func(text string) {
		if got := Line(text, 500); got != text {
			t.Errorf("%s\nis shown as %s", text, got)
		}
	}
	for n := uint64(1e8); n < 1<<32; n += 999_983 {
		said(fmt.Sprintf("/srv/nitrox%d/001/nitrox.yaml is unusable", n))
	}
	said("container 9ac2289de9f6e17764df0f7fbeeee2321d47675b0db64d4d430c1a0b0ed3a61a") // in base64 it ends in :a
	for n := range 1000 {
		id := sha256.Sum256([]byte{byte(n), byte(n >> 8)})
		said(fmt.Sprintf("container %x on worker-%d", id, n))
		said(fmt.Sprintf("container %x on edge/%x", id[:6], id[:8]))
	}
}

// What takes long to look at must not hold up a pass.
func BenchmarkLine(b *testing.B) {
	forget(b)
	for i := range 100 {
		Session(fmt.Sprintf("token-%d-%s", i, strings.Repeat("x", 900)))
	}
	for name, text := range map[string]string{
		"a message":      "list endpointslices.discovery.k8s.io in namespace a: 403 Forbidden: the credentials are missing or expired",
		"base64":         base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("text \n% and so on+&"), 700)),
		"base64 of junk": strings.Repeat("abcdefghijklmnopqrstuvwxyz0123456789+/", 420),
		"words":          strings.Repeat("abcdefghij ", 1400),
		"escapes":        strings.Repeat(`\u0041%41&amp;+\n`, 1000),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Line(text, 400)
			}
		})
	}
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

func TestWhatIsSentIsNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		header, value string
		secrets       []string
	}{
		"basic":           {"Authorization", "Basic " + basic("op", "hunter22"), []string{"hunter22", basic("op", "hunter22"), basic("else", "hunter22")}},
		"a token":         {"Authorization", "Bearer abc.def-ghi", []string{"abc.def-ghi"}},
		"one of DC/OS":    {"Authorization", "token=abc.def-ghi", []string{"abc.def-ghi"}},
		"a proxy's":       {"Proxy-Authorization", "Basic " + basic("op", "hunter22"), []string{"hunter22"}},
		"cookies":         {"Cookie", "NITRO_AUTH_TOKEN=%23%23ABC%2FDEF; SESSID=1234567890", []string{"##ABC/DEF", "%23%23ABC%2FDEF", "%23%23ABC%2fDEF", "1234567890"}},
		"no known scheme": {"Authorization", "abcdefgh", []string{"abcdefgh"}},
	} {
		forget(t)
		Sent(http.Header{c.header: {c.value}})
		for _, secret := range c.secrets {
			if got := Line("got "+secret+"!", 100); strings.Contains(got, secret[2:]) || !strings.Contains(got, Hidden) {
				t.Errorf("%s: %q is shown as %q", name, secret, got)
			}
		}
	}
}

// Passwords stay known for ever, sessions until many others have followed.
func TestWhatComesAndGoesIsForgottenLast(t *testing.T) {
	forget(t)
	Keep("password-of-a-year-ago")
	for i := range 10 * recent {
		Sent(http.Header{"Authorization": {fmt.Sprintf("Bearer token-number-%06d", i)}, "Cookie": {"S=session-in-use"}})
	}
	for text, shown := range map[string]bool{
		"password-of-a-year-ago": false, "session-in-use": false,
		fmt.Sprintf("token-number-%06d", 10*recent-1): false,
	} {
		if got := Line(text, 100); (got == text) != shown {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	if len(known.passing) != recent {
		t.Errorf("%d are known", len(known.passing))
	}
}

func TestPasswordsOfURLs(t *testing.T) {
	for _, c := range []struct{ url, secret string }{
		{"http://op:hunter22@proxy:3128", "hunter22"},
		{"http://op:hun%74er22@proxy:3128", "hunter22"},
		{"http://op:a%zz@b@proxy:3128", "a%zz@b"},
		{"http://a-token-as-user@proxy:3128", "a-token-as-user"},
	} {
		forget(t)
		URL(c.url)
		for _, text := range []string{c.url, "parse " + strconv.Quote(c.url) + ": invalid", c.secret} {
			if got := Line(text, 100); strings.Contains(got, c.secret) || !strings.Contains(got, Hidden) {
				t.Errorf("%s: shown as %s", c.url, got)
			}
		}
	}
	forget(t)
	URL("http://proxy:3128/@")
}

func TestALineIsFitToPrint(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		" a\n\tb\r\n":                 "a b",
		"a\x1b[31mb\x00\u0085\u009b":  "a [31mb",
		"s\u202egnp.exe\u2066x\u2069": "s gnp.exe x",
		"\u202aa\u202bb\u2068":        "a b",
		"a\u2028b\u2029c":             "a b c",
		"a\u200bb\u00adc\ufeff":       "a b c",
		"gone\xff":                    "gone",
		"12345678901234":              "12345678901…",
		"ééééééééééééé":               "ééééééééééé…",
	} {
		if got := Line(text, 12); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := Line([]byte(text), 12); got != want {
			t.Errorf("the bytes %q: %q, want %q", text, got, want)
		}
	}
}

// Whatever the secret is, wherever and however it is echoed, and wherever what
// echoes it was cut off: a line shows none of it but a few letters.
func FuzzLine(f *testing.F) {
	names := make([]string, 0, len(echoes))
	for name := range echoes {
		names = append(names, name)
	}
	for i, secret := range odd {
		for how := range names {
			f.Add(secret, "before ", " after", uint8(how), uint8(i), uint16(0), uint16(40))
		}
	}
	f.Fuzz(func(t *testing.T, secret, before, after string, how, outer uint8, cut, characters uint16) {
		secret = strings.TrimSpace(secret)
		if !utf8.ValidString(secret) || strings.ContainsAny(secret, "\n") || strings.HasPrefix(secret, "-----") || len(secret) > 200 || len([]rune(secret)) < 8 ||
			html.UnescapeString(mapped(secret, "&#%d;")) != secret { // it has characters that HTML has no numbers for
			t.Skip()
		}
		forget(t)
		Keep(secret)
		keys := []string{"as it is", "JSON", "JSON that escapes nothing for HTML", "JSON in ASCII", "quoted by Go", "a query", "a path",
			"every byte in per cent", "HTML", "HTML by number", "base64", "base64 for URLs", "base64 with a user", "base64 with another user", "hexadecimal"}
		key := keys[int(how)%len(keys)]
		around := []string{"as it is", "JSON", "HTML", "a query"}[outer%4]
		echo := echoes[around](echoes[key](secret))
		first := echoes[around](echoes[key](string([]rune(secret)[:6])))
		text := before + echo + after
		if cut := int(cut); cut > 0 && cut < len(text) {
			text = text[:cut]
		}
		most := int(characters)%1000 + 1
		line := Line(text, most)
		if n := utf8.RuneCountInString(line); n > most {
			t.Errorf("%d characters, not %d", n, most)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
				t.Errorf("%q has %q", line, r)
			}
		}
		// What is a part of the text around it is not the secret's.
		if strings.Contains(before+"|"+after, secret[:1]) || strings.Contains(before+after, Hidden) {
			return
		}
		same := 0 // what the first letters look like
		for same < min(len(first), len(echo)) && first[same] == echo[same] {
			same++
		}
		piece := strings.Join(strings.Fields(echo[:same]), " ")
		if len(piece) >= 6 && strings.Contains(line, piece) {
			t.Errorf("%q, %s in %s: %q shows %q", secret, key, around, line, piece)
		}
	})
}
