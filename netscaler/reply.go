package netscaler

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"nitrox/sources/bounds"
)

// maxRead is the size of the largest answer to a bulk read that is accepted:
// about a million members ("NITRO documentation", a row has some 450 bytes).
const maxRead = 512 << 20

// maxReply is the size of the largest answer to any other call.
const maxReply = 16 << 20

var (
	errUnreadable = errors.New("the answer cannot be read")
	// errNameless: a read of one object was answered without the object's own row,
	// which says nothing of it, not even that it is not there.
	errNameless = errors.New("the answer has no entry for what was asked")
	// errAnother: it was answered with the row of something else.
	errAnother = fmt.Errorf("%w, but one for", errNameless)
	// errUnsaid: a write was answered without an errorcode, by something other
	// than the 201 that NITRO gives for what was added, so that a proxy or a web
	// server may have said it. Some builds answer actions like that.
	errUnsaid = errors.New("the answer does not say that it was done")
)

// reply is what all answers of NITRO have in common.
type reply struct {
	code              int
	message, severity string
	// items are the results of an array's items, by position; there may be
	// fewer of them than items, or none.
	items   []reply
	session string           // of a log-in
	failed  []netip.AddrPort // that a desired state could not bind
	// coded: the answer had an errorcode, without which it is not NITRO's.
	coded bool
	// cookies present the session of a log-in, as NAME=value.
	cookies []string
}

// done: the call, or the item, was carried out; maybe with a warning.
func (r reply) done() bool {
	if r.code == codeOnSecondary || r.code == codeNotAttempted {
		return false
	}
	return r.code == 0 || r.severity == "WARNING"
}

// notNITRO is an answer that is not a JSON object; it holds the beginning of it.
type notNITRO string

func (e notNITRO) Error() string { return "not a NITRO answer: " + string(e) }

// decodeReply reads an answer. What stands under key is given to value, which
// must read it whole; it may come before or after the errorcode. An empty
// answer is a reply without an errorcode.
func decodeReply(r io.Reader, key string, value reading) (reply, error) {
	var a reply
	in := bufio.NewReaderSize(r, 32<<10)
	head, err := in.Peek(1024)
	if err != nil && err != io.EOF {
		return a, err
	}
	switch start := bytes.TrimLeft(head, " \t\r\n\ufeff"); {
	case len(start) == 0 && err == io.EOF:
		return a, nil
	case len(start) > 0 && start[0] != '{':
		return a, notNITRO(head)
	}
	shape := replyShape
	if value.read != nil {
		shape = shape.With(key, value.shape)
	}
	dec, read := bounds.NewDecoder(in, shape), false
	err = dec.Object(func(name string) error {
		switch {
		case value.read == nil || !strings.EqualFold(name, key):
			return a.field(strings.ToLower(name), dec.Decoder)
		case read:
			return fmt.Errorf("it has %q twice", key)
		}
		read = true
		return value.read(dec)
	})
	return a, err
}

// reading is how the value of a key is read, and what is wanted of it.
type reading struct {
	shape *bounds.Shape
	read  func(*bounds.Decoder) error
}

// replyShape is what is wanted of all answers.
var replyShape = bounds.Object(map[string]*bounds.Shape{
	"errorcode": bounds.Whole, "message": bounds.Whole, "severity": bounds.Whole, "sessionid": bounds.Whole,
	"login":    bounds.Either(bounds.Of[login]()),
	"response": bounds.Of[[]itemReply](),
	memberList: bounds.Either(bounds.Of[failedList]()),
})

type itemReply struct{ Errorcode, Message, Severity json.RawMessage }

// field reads the value of one of the fields that all answers have.
func (a *reply) field(name string, dec *json.Decoder) error {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return err
	}
	switch name {
	case "errorcode":
		n, err := number(raw)
		if err != nil {
			return fmt.Errorf("errorcode: %w", err)
		}
		a.code, a.coded = n, true
	case "message":
		a.message = text(raw)
	case "login":
		if id := loginSession(raw); id != "" {
			a.session = id
		}
	case "severity":
		a.severity = text(raw)
	case "sessionid":
		a.session = text(raw)
	case memberList:
		a.failed = failedMembers(raw)
	case "response":
		var items []itemReply
		if err := json.Unmarshal(raw, &items); err != nil {
			return fmt.Errorf("response: %w", err)
		}
		for _, item := range items {
			n, err := number(item.Errorcode)
			if err != nil {
				return fmt.Errorf("response: errorcode: %w", err)
			}
			a.items = append(a.items, reply{code: n, message: text(item.Message), severity: text(item.Severity)})
		}
	}
	return nil
}

// text is a JSON value as text: a string without its quotes, null as nothing,
// and anything else as it stands, since NITRO sends numbers either way.
func text(raw []byte) string {
	plain, escaped := unquoted(raw)
	if !escaped {
		return string(plain)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	return s
}

// unquoted is text without the cost of a string, for the many values that have
// no escapes; escaped tells that raw is not one of them.
func unquoted(raw []byte) (plain []byte, escaped bool) {
	if len(raw) < 2 || raw[0] != '"' {
		if string(raw) == "null" {
			return nil, false
		}
		return raw, false
	}
	plain = raw[1 : len(raw)-1]
	return plain, bytes.IndexByte(plain, '\\') >= 0
}

// number is a JSON value as a number, whether it is one or a string of one.
func number(raw []byte) (int, error) {
	plain, _ := unquoted(raw)
	n, err := strconv.Atoi(string(plain))
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", printable(string(raw)))
	}
	return n, nil
}
