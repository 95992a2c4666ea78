package bounds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"nitrox/sources/sourcetest"
)

type line struct {
	Name json.RawMessage `json:"name"`
	IP   json.RawMessage `json:"ip"`
	Port json.RawMessage `json:"port2_k"`
}

// texts are the fields as they stand, but for the blanks in them; null as nothing.
func (l *line) texts() (texts [3]string) {
	for i, raw := range []json.RawMessage{l.Name, l.IP, l.Port} {
		var b bytes.Buffer
		if len(raw) > 0 {
			if err := json.Compact(&b, raw); err != nil {
				return [3]string{"not JSON: " + string(raw)}
			}
		}
		texts[i] = b.String()
	}
	return texts
}

// lines reads a list of lines.
func lines(r io.Reader) (all [][3]string, err error) {
	d := NewDecoder(r, RowsOf[line]())
	if err := Rows(d, func(l *line) error {
		all = append(all, l.texts())
		return nil
	}); err != nil {
		return nil, err
	}
	return all, d.End()
}

// FuzzRows: whatever the text is, and in whatever pieces it comes, a list of rows is
// read as encoding/json reads it, or is an error if it is one there.
func FuzzRows(f *testing.F) {
	usual := `{ "name": "a", "junk": "0", "ip": "10.0.0.1", "port2_k": 80 }`
	for _, text := range []string{
		`[]`, `[ ]`, `[ {} ]`, `[` + usual + `]`,
		` [ ` + usual + ` , ` + usual + `, {"port2_k":0,"ip":null,"name":true}]`,
		`[` + strings.Repeat(usual+`,`, 30) + usual + `]`,
		// What is not usual, between rows that are.
		`[` + usual + `,{"NAME":"b","ip":"x"},` + usual + `]`, `[` + usual + `,{"name":"b","name":"c"},` + usual + `]`,
		`[` + usual + `,{"n\u0061me":"b"},` + usual + `]`, `[` + usual + `,{"name":"b\"\n"},{"ſip":1,"K":2},` + usual + `]`,
		`[` + usual + `,{"name":[1,{"ip":2}],"ip":{}},` + usual + `]`,
		`[{"name":-1,"ip":1.5e3,"port2_k":-0},` + usual + `]`, `[null,` + usual + `,null]`, `[1,` + usual + `]`,
		`[` + usual + `,"x"]`, `[[]]`, `[` + usual + ` , [` + usual + `]]`,
		`[{"junk":"a","junk":"b","name":"x"}]`, "[{\"name\":\"\xff\"}]",
		// What is wrong.
		`[` + usual + `,]`, `[,` + usual + `]`, `[` + usual + usual + `]`, `[` + usual, `[` + usual + `,`,
		`[{"name":01}]`, `[{"name":-}]`, `[{"name":"a",}]`, `[{"name" "a"}]`,
		`[{"name":nul}]`, `[{"name":nulll}]`, `[{"name":truefalse}]`, "[{\"junk\":\"\x01\"}]", `[{"name":"a"]}`,
		`[` + usual + `] []`, `[{"name":"a"}}`, `{"name":"a"}`, `null`, ``, `[{"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var list []line
		wrong := json.Unmarshal(text, &list)
		want := [][3]string{}
		for _, l := range list {
			want = append(want, l.texts())
		}
		for how, r := range map[string]io.Reader{
			"whole": bytes.NewReader(text), "by bytes": iotest.OneByteReader(bytes.NewReader(text)),
			"by halves":    iotest.HalfReader(bytes.NewReader(text)),
			"with the end": iotest.DataErrReader(bytes.NewReader(text)),
		} {
			got, err := lines(r)
			if errors.Is(err, ErrTooLarge) || wrong == nil && list == nil { // null is not a list
				continue
			}
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%q %s: error %v, want %v", text, how, err, wrong)
			}
			if err == nil && !reflect.DeepEqual(append([][3]string{}, got...), want) {
				t.Fatalf("%q %s\ngot  %q\nwant %q", text, how, got, want)
			}
		}
	})
}

// Rows that do not fit between two reads of the text, and those that fit in none.
func TestLongRows(t *testing.T) {
	sourcetest.Thorough(t)
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, `{"name":"%s","ip":%d},`, strings.Repeat("x", i*i), i)
	}
	all, err := lines(strings.NewReader(`[` + b.String() + `{"ip":400}]`))
	if err != nil || len(all) != 401 {
		t.Fatalf("%d rows, error %v", len(all), err)
	}
	for i, l := range all {
		if l[1] != fmt.Sprint(i) || i < 400 && len(l[0]) != i*i+2 {
			t.Errorf("row %d: %.20q, %s", i, l[0], l[1])
		}
	}
}

// Usual rows are not decoded, so they cost no allocations, and neither does what one odd
// row among them leaves to the others.
func TestUsualRowsCostNothing(t *testing.T) {
	usual := strings.Repeat(`{ "name": "a", "other": 5, "ip": "10.0.0.1", "port2_k": 80 }, `, 10_000)
	for name, text := range map[string]string{"usual": usual, "with an odd one": `{"name":"\n"},` + usual + `{"IP":1.5},` + usual} {
		rows := 0
		allocs := testing.AllocsPerRun(1, func() {
			if err := Rows(NewDecoder(strings.NewReader(`[`+text+`{}]`), RowsOf[line]()), func(l *line) error {
				rows++
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		if rows < 20_000 || allocs > 100 {
			t.Errorf("%s: %v allocations for %d rows", name, allocs, rows)
		}
	}
}

func TestRowsThatNeverEnd(t *testing.T) {
	sourcetest.Thorough(t)
	for name, c := range map[string]struct {
		text io.Reader
		want string
	}{
		"rows":           {endless(`[{"name":"a"}`, `,{"name":"a"}`), "more than 1000000 entries"},
		"a text":         {endless(`[{"name":"`, "x"), "a text in it has more than 4 MiB"},
		"junk in a row":  {endless(`[{"junk":"`, "x"), "a text in it has more than 4 MiB"},
		"a name":         {endless(`[{"`, "x"), "a text in it has more than 4 MiB"},
		"a number":       {endless(`[{"name":1`, "0"), "more than 256 digits"},
		"blanks":         {endless(`[{"name":1}`, " "), "64 KiB of blanks in a row"},
		"nesting":        {endless(`[{"name":`, "["), "nested more than 128 deep"},
		"names of a row": {endless(`[{"name":"a"`, `,"name":"a"`), "one thing in it takes more than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := lines(c.text); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
