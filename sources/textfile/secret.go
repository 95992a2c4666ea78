package textfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"nitrox/sources/bounds"
)

// ReadFile reads a text file, without the mark at its beginning. It refuses
// what is no text, as [Plain] does; its errors name the file.
func ReadFile(file string) ([]byte, error) {
	data, err := bounds.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return plain(file, data)
}

func plain(file string, data []byte) ([]byte, error) {
	data, err := Plain(data)
	if wrong := (*Error)(nil); errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s %s", file, wrong.Message)
	}
	return data, err
}

// Secret reads a file that holds a password or a token, and nothing else: one
// line, whose end does not count. The remark, if there is one, is about what
// may be a mistake. Neither it nor an error repeats anything of the secret.
func Secret(file string) (secret, remark string, err error) {
	data, err := bounds.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	line, err := plain(file, data)
	if err != nil {
		return "", "", err
	}
	secret = strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	remark, err = Check(file, secret)
	switch {
	case err != nil:
		return "", "", err
	case bytes.HasPrefix(data, []byte(mark)):
		remark = file + " begins with a byte order mark, which does not count; save the file without it"
	}
	return secret, remark, nil
}

// Check looks at a secret that is in what: it must be one line of text, and it
// is remarked if it begins or ends with a blank, which counts.
func Check(what, secret string) (remark string, err error) {
	blank := func(r rune, _ int) bool { return unicode.IsSpace(r) }
	switch {
	case secret == "":
		return "", fmt.Errorf("%s is empty", what)
	case strings.ContainsAny(secret, "\r\n"):
		return "", fmt.Errorf("%s has more than one line; leave only the secret, in one line", what)
	case !utf8.ValidString(secret):
		return "", fmt.Errorf("%s is not UTF-8; save it as UTF-8", what)
	case blank(utf8.DecodeRuneInString(secret)):
		return what + " begins with a blank, which counts; remove it unless it belongs to the secret", nil
	case blank(utf8.DecodeLastRuneInString(secret)):
		return what + " ends with a blank, which counts; remove it unless it belongs to the secret", nil
	}
	return "", nil
}
