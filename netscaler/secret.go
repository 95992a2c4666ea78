package netscaler

import (
	"fmt"
	"log/slog"

	"nitrox/sources/redact"
	"nitrox/sources/textfile"
)

// Secret is a password that lies in a file or was given as text. It cannot be
// printed; only [Secret.Reveal] shows it. The zero Secret reveals nothing.
type Secret struct{ file, text string }

// SecretFile is the secret that file holds at the time of each Reveal, so that
// a rotated one is seen. The file's last newline does not count.
func SecretFile(file string) Secret { return Secret{file: file} }

// SecretText is the secret text itself.
func SecretText(text string) Secret { return Secret{text: text} }

// File is the file that the secret lies in; empty if it was given as text.
func (s Secret) File() string { return s.file }

// Reveal reads the secret. It is an error if there is none, or if the file
// cannot be read or is empty; the error names the file, never its content.
func (s Secret) Reveal() (string, error) {
	if s.file == "" {
		if s.text == "" {
			return "", fmt.Errorf("no password is given")
		}
		redact.Keep(s.text)
		return s.text, nil
	}
	password, _, err := textfile.Secret(s.file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	redact.Keep(password)
	return password, nil
}

// Format prints *** for every verb, %#v included.
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redact.Hidden) }
func (Secret) String() string               { return redact.Hidden }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redact.Hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redact.Hidden), nil }
func (Secret) MarshalYAML() (any, error)    { return redact.Hidden, nil }
