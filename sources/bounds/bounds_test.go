package bounds

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"nitrox/sources/sourcetest"
)

type thing struct {
	Name   string `json:"name"`
	Labels map[string]string
	Inner  *struct {
		Ports []struct {
			Port uint16 `json:"port"`
			Kind json.RawMessage
		}
	} `json:"inner"`
	embedded
}

type embedded struct{ Deep [][]string }

// decode reads a list of things as sources do.
func decode(r io.Reader) (all []thing, err error) {
	d := NewDecoder(r, List(Of[thing]()))
	if start, err := d.Token(); err != nil || start != json.Delim('[') {
		return nil, cmp.Or(err, errors.New("not a list"))
	}
	kept := int64(0)
	for d.More() {
		var t thing
		if err := d.Decode(&t); err != nil {
			return nil, err
		}
		kept += Size(t)
		if err := d.Keep(kept); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after the end: %w", err)
	}
	return all, nil
}

// FuzzDecoder: what is dropped changes nothing of what is decoded, and what is
// not JSON is an error also where it is dropped.
func FuzzDecoder(f *testing.F) {
	for _, text := range []string{
		`[]`, `[{"name":"a","labels":{"x":"y"},"inner":{"ports":[{"port":80,"kind":{"a":[1,2]}}]},"deep":[["a"],[]]}]`,
		` [ { "NAME" : "a\"\u00e9\n" , "junk" : [ 1 , { "a" : null , "b":[] } , -1.5e9 ] , "inner" : null } , null ] `,
		`[{"\u006eame":"escaped"},{"name":"x","name":"y"},{"deep":{"not":"a list"}}]`, `[{"junk":{"a" 5}}]`, `[{"junk":01}]`, `[1,]`, `[{},,{}]`,
		`{"name":"a"}`, `[{"junk":"\x"}]`, `[] []`, "[{\"junk\":\"\x01\"}]", `[{"labels":{"ſ":"K"}}]`, `[{"name":tru}]`, ``, `[`, `[{"a":{]}}]`,
	} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, slowly bool) {
		var r io.Reader = bytes.NewReader(text)
		if slowly {
			r = iotest.OneByteReader(r)
		}
		got, err := decode(r)
		var want []thing
		wrong := json.Unmarshal(text, &want)
		if errors.Is(err, ErrTooLarge) || wrong == nil && want == nil { // null is not a list
			return
		}
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%q: error %v, want %v", text, err, wrong)
		}
		if err == nil && !reflect.DeepEqual(append([]thing{}, got...), want) {
			t.Fatalf("%q\ngot  %+v\nwant %+v", text, got, want)
		}
	})
}

// endless is text without an end: head, and then again and again the same.
func endless(head, again string) io.Reader {
	return io.MultiReader(strings.NewReader(head), &repeated{text: []byte(strings.Repeat(again, 10000))})
}

type repeated struct {
	text []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

func TestWhatNeverEnds(t *testing.T) {
	sourcetest.Thorough(t)
	const small = 64 << 20 // of the text
	for name, c := range map[string]struct {
		text io.Reader
		want string
	}{
		"blanks":                       {endless(`[`, " "), "64 KiB of blanks in a row"},
		"blanks before":                {endless(``, "\n"), "64 KiB of blanks in a row"},
		"a name":                       {endless(`[{"name":"`, "x"), "a text in it has more than 4 MiB"},
		"a text that nobody wants":     {endless(`[{"junk":"`, `\u0041`), "a text in it has more than 4 MiB"},
		"a key":                        {endless(`[{"`, "x"), "a text in it has more than 4 MiB"},
		"a number":                     {endless(`[{"junk":1`, "0"), "more than 256 digits"},
		"nesting":                      {endless(`[{"junk":`, "["), "nested more than 128 deep"},
		"nesting of what is wanted":    {endless(`[{"deep":`, "["), "nested more than 128 deep"},
		"a list in a thing":            {endless(`[{"inner":{"ports":[{}`, ",{}"), "one thing in it takes more than 16 MiB"},
		"empty lists in a thing":       {endless(`[{"deep":[[]`, ",[]"), "one thing in it takes more than 16 MiB"},
		"labels":                       {endless(`[{"labels":{"a":"b"`, `,"a":"b"`), "one thing in it takes more than 16 MiB"},
		"things":                       {endless(`[{"name":"a"}`, `,{"name":"a"}`), "takes more than 48 MiB of memory; if it is right, raise GOMEMLIMIT"},
		"tiny things":                  {endless(`[{}`, `,{}`), "takes more than 48 MiB of memory; if it is right, raise GOMEMLIMIT"},
		"what nobody wants":            {endless(`[{"junk":[{}`, `,{}`), "it has more than 64 MiB"},
		"a field that is there always": {endless(`[{"junk":1`, `,"junk":1`), "it has more than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(NewBody(&http.Response{Body: io.NopCloser(c.text)}, small))
			if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// What is dropped costs nothing, however large it is.
func TestWhatNobodyWants(t *testing.T) {
	sourcetest.Thorough(t)
	junk := `"junk":[` + strings.Repeat(`{"a":[1,2,3]},`, 100_000) + `0]`
	text := `[` + strings.Repeat(`{`+junk+`,"name":"a"},`, 5) + `{}]`
	if all, err := decode(strings.NewReader(text)); err != nil || len(all) != 6 || all[4].Name != "a" {
		t.Errorf("%d things, error %v", len(all), err)
	}
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.Bytes()
}

func TestBody(t *testing.T) {
	const max = 4 << 20
	bomb := zipped(strings.Repeat("x", 3<<20))
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		encoding string
		body     io.Reader
		ctx      context.Context
		want     string
	}{
		"plain":                    {body: strings.NewReader("text")},
		"zipped":                   {encoding: "gzip", body: bytes.NewReader(zipped("text"))},
		"zipped twice":             {encoding: "gzip, gzip", body: strings.NewReader("x"), want: `encoded as "gzip, gzip", which was not asked for`},
		"as nobody asked":          {encoding: "br", body: strings.NewReader("x"), want: `encoded as "br"`},
		"not zipped":               {encoding: "gzip", body: strings.NewReader("text, and more of it"), want: "gzip: invalid header"},
		"a bomb":                   {encoding: "gzip", body: bytes.NewReader(bomb), want: "more than 200 times as long"},
		"nothing, again and again": {encoding: "gzip", body: endless("", string(zipped(""))), want: "more than 5 MiB were sent"},
		"without an end":           {body: endless("", "x"), want: "it has more than 4 MiB"},
		"nobody waits":             {body: endless("", "x"), ctx: stopped, want: "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Body: io.NopCloser(c.body), Header: http.Header{}}
			if c.encoding != "" {
				resp.Header.Set("Content-Encoding", c.encoding)
			}
			if c.ctx != nil {
				resp.Request = (&http.Request{}).WithContext(c.ctx)
			}
			text, err := io.ReadAll(NewBody(resp, max))
			if c.want == "" && (err != nil || string(text) != "text") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%d bytes, error %v; want %q", len(text), err, c.want)
			}
		})
	}
}

// The values of a stream may follow each other without anything between them,
// however the network cuts them.
func TestValuesOfAStream(t *testing.T) {
	const text = `null"event"{"Name":"a"}true[1]7 8` + "\n" + `"end"`
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		d := NewSequence(r, Whole)
		var got []any
		for {
			var v any
			if err := d.Decode(&v); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			got = append(got, v)
		}
		want := []any{nil, "event", map[string]any{"Name": "a"}, true, []any{1.0}, 7.0, 8.0, "end"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
