package netscaler_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// bulkRows is a bulk read of groups of 100 members, in the shape that
// appliances were recorded to answer: 1,000 groups make 42 MB.
func bulkRows(groups int) []byte {
	var b bytes.Buffer
	b.WriteString(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "` + binding + `": [ `)
	for g := range groups {
		for m := range 100 {
			if g+m > 0 {
				b.WriteString(", ")
			}
			ip := fmt.Sprintf("10.%d.%d.%d", g/250, g%250, m)
			fmt.Fprintf(&b, `{ "servicegroupname": "sg-%04d", "ip": %q, "port": 8080, "svrstate": "UP", "statechangetimesec": "Wed Sep 20 14:41:12 2023", `+
				`"tickssincelaststatechange": "187440408", "weight": "1", "servername": %q, "customserverid": "None", "serverid": "0", "state": "ENABLED", `+
				`"hashid": "0", "graceful": "NO", "delay": 0, "delay1": 0, "nameserver": "0.0.0.0", "dbsttl": 0, "orderstr": "Default", "trofsdelay": "0" }`, g, ip, ip)
		}
	}
	b.WriteString(" ] }")
	return b.Bytes()
}

// served answers every read with body, and log-ins with a session.
func served(body []byte) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r}
		if r.Method == http.MethodGet {
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return resp, nil
		}
		resp.Body = io.NopCloser(strings.NewReader(`{ "errorcode": 0, "sessionid": "##1" }`))
		return resp, nil
	}
}

// BenchmarkRead100k measures a read of 100,000 members against the floor.
func BenchmarkRead100k(b *testing.B) {
	body := bulkRows(1000)
	all := make([]string, 1000)
	for i := range all {
		all[i] = fmt.Sprintf("sg-%04d", i)
	}
	for name, groups := range map[string][]string{"all groups": all, "10 of 1000 groups": all[:10]} {
		b.Run(name, func(b *testing.B) {
			c := open(b, served(body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				result, err := look(c, b.Context(), groups)
				if err != nil || len(result["sg-0009"].Members) != 100 {
					b.Fatal(len(result), err)
				}
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			decodeFloor(b, body, 100_000)
		}
	})
}

// decodeFloor is the floor: the answer decoded by encoding/json into the five fields
// that a pass cannot do without.
func decodeFloor(tb testing.TB, body []byte, rows int) {
	var a struct {
		Rows []struct {
			Group string `json:"servicegroupname"`
			IP    string `json:"ip"`
			Port  int    `json:"port"`
			State string `json:"state"`
			Up    string `json:"svrstate"`
		} `json:"servicegroup_servicegroupmember_binding"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&a); err != nil || len(a.Rows) != rows {
		tb.Fatal(len(a.Rows), err)
	}
}

// A read of a large appliance must not need much more memory than its result:
// the answer is never in memory as a whole.
func TestLargeReadIsStreamed(t *testing.T) {
	body := bulkRows(100)
	c := open(t, served(body))
	asked := []string{"sg-0000", "sg-0001", "sg-0002", "sg-0003", "sg-0004"}
	for i := range 100 { // so many that they are read in bulk
		asked = append(asked, fmt.Sprintf("none-%d", i))
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	groups, err := look(c, t.Context(), asked)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range groups {
		if want := map[bool]int{true: 100}[strings.HasPrefix(name, "sg-")]; len(g.Members) != want {
			t.Errorf("%s: %d members", name, len(g.Members))
		}
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(len(body))/3 {
		t.Errorf("allocated %d bytes for 500 members of an answer of %d bytes", used, len(body))
	}
}
