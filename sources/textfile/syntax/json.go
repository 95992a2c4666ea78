package syntax

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"nitrox/sources/textfile"
)

// JSON makes a decoder's error about data a [textfile.Error]. Where it is comes from
// a second look: a decoder that gives tokens does not know it.
func JSON(data []byte, err error) error {
	var wrong *json.SyntaxError
	if !errors.As(json.Unmarshal(data, new(json.RawMessage)), &wrong) {
		return fmt.Errorf("not valid JSON: %w; find out what wrote it", err)
	}
	offset := int(wrong.Offset) - 1
	message := "not valid JSON: " + explain(data, offset, wrong.Error())
	if whole := len(bytes.TrimRight(data, " \t\r\n")); offset >= whole || errors.Is(err, io.ErrUnexpectedEOF) {
		message, offset = "the JSON is cut off here; rename only whole files into place", whole
	}
	line, column := Position(data, offset)
	return &textfile.Error{Line: line, Column: column, Message: message}
}

// explain says what is wrong at a byte of data, for which the decoder has words
// of its own.
func explain(data []byte, offset int, said string) string {
	before, after := bytes.TrimRight(data[:max(offset, 0)], " \t\r\n"), data[max(offset, 0):]
	r, _ := utf8.DecodeRune(after)
	inKey := strings.Contains(said, "object key string")
	switch {
	case strings.Contains(said, "in string literal"):
		return "the quote before this is not closed in its line; close it"
	case strings.Contains(said, "escape"):
		return `a \ begins an escape sequence, but not one that JSON knows; write \\`
	case strings.HasPrefix(string(after), "<<<<<<<"), strings.HasPrefix(string(after), "======="), strings.HasPrefix(string(after), ">>>>>>>"):
		return "a merge conflict marker; resolve the conflict and remove its markers"
	case r == '/', r == '#':
		return "JSON has no comments; remove this"
	case r == '\'', strings.ContainsRune("“”„‟‘’‚‛«»", r):
		return `JSON takes double quotes only; write "`
	case strings.HasSuffix(said, "after object key"):
		return "a colon is missing before this; add it"
	case strings.HasSuffix(said, "after array element"):
		return "a , or ] is missing before this; add it"
	case strings.HasSuffix(said, "after object key:value pair"):
		return "a , or } is missing before this; add it"
	case bytes.HasSuffix(before, []byte(",")) && (r == ']' || r == '}'):
		return fmt.Sprintf("a comma before this %c; remove it", r)
	case inKey:
		return "a key in double quotes is expected here; write \"key\": value"
	case strings.Contains(said, "beginning of value"), strings.Contains(said, "in literal"):
		return "this is not a JSON value; write text in double quotes, a number, true, false or null"
	}
	return said + "; check the commas, quotes and brackets here and before"
}

// Position is the line and column of the byte at an offset.
func Position(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset, 0), len(data))]
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
}
