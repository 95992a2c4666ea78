package syntax

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"nitrox/sources/textfile"
)

// JSON makes a decoder's error about data a [textfile.Error]. Where it is comes from
// a second look: a decoder that gives tokens does not know it.
func JSON(data []byte, err error) error {
	var wrong *json.SyntaxError
	if !errors.As(json.Unmarshal(data, new(json.RawMessage)), &wrong) {
		return fmt.Errorf("not complete and valid JSON: %w", err)
	}
	message := fmt.Sprintf("not complete and valid JSON: %v", wrong)
	offset := int(wrong.Offset) - 1
	if whole := len(bytes.TrimRight(data, " \t\r\n")); offset >= whole || errors.Is(err, io.ErrUnexpectedEOF) {
		message, offset = "the JSON is cut off here; rename only whole files into place", whole
	}
	line, column := Position(data, offset)
	return &textfile.Error{Line: line, Column: column, Message: message}
}

// Position is the line and column of the byte at an offset.
func Position(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset, 0), len(data))]
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
}
