package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"nitrox/netscaler/simulator"
)

// node is one NetScaler.
type node struct {
	lab *lab
	sim *simulator.Simulator
}

// door is the proxy in front of a node that one of the processes knows it by.
type door struct {
	*node
	copy   int
	server *http.Server
	url    string
}

var doors atomic.Int32

func open(n *node, copy int) (*door, error) {
	host := "127.0.0.1"
	if runtime.GOOS == "linux" { // an address of its own: a port may be another test's a moment later
		id := doors.Add(1)
		host = fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, id/250%250, 1+id%250)
	}
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		return nil, err
	}
	d := &door{node: n, copy: copy, url: "http://" + listener.Addr().String()}
	d.server = &http.Server{Handler: d}
	go d.server.Serve(listener) // until it is closed
	return d, nil
}

// call is one request of a pass.
type call struct {
	node *node
	req  *http.Request
	body []byte
	kind string // "PUT servicegroup_servicegroupmember_binding []"
	copy int    // of the processes of the pass, which one calls
	n    int    // the first of this process is 1
}

// answer is what goes back to Nitrox.
type answer struct {
	status int
	header http.Header
	body   []byte
	reset  bool // no answer: the connection is reset
	cut    bool // the connection ends in the middle of the body
}

// kindOf names a call so that a table of them can be read: verb, type, action,
// /. for a call by name, [] for an array.
func kindOf(r *http.Request, body []byte) string {
	typ, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/nitro/v1/"), "/")
	if typ == "config" {
		typ, name, _ = strings.Cut(name, "/")
	}
	kind := r.Method + " " + typ
	if name != "" {
		kind += "/."
	}
	if action := r.URL.Query().Get("action"); action != "" {
		kind += "?" + action
	}
	if _, value, ok := bytes.Cut(body, []byte(":")); ok && bytes.HasPrefix(bytes.TrimSpace(value), []byte("[")) {
		kind += " []"
	}
	return kind
}

func (c *call) reads() bool { return c.req.Method == http.MethodGet }

// session says whether the call only opens, turns or ends a session, which a dry
// run may do too.
func (c *call) session() bool {
	return strings.HasPrefix(c.kind, "POST log") || strings.HasPrefix(c.kind, "POST nspartition?")
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.lab.calls.Add(1)
	defer d.lab.calls.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the process was killed while it was sending
	}
	c := &call{node: d.node, copy: d.copy, req: r, body: body, kind: kindOf(r, body)}
	write(w, d.lab.meet(c)(c))
}

// carry has the NetScaler carry the call out, under the judge's eyes.
func (c *call) carry() answer {
	c.node.lab.mu.Lock()
	defer c.node.lab.mu.Unlock()
	before := c.node.lab.look()
	a := c.send()
	c.node.lab.judge(c, a, before, c.node.lab.look())
	return a
}

// refuse has the NetScaler answer with a code instead.
func (c *call) refuse(code int) answer {
	c.node.lab.mu.Lock()
	defer c.node.lab.mu.Unlock()
	c.node.sim.SetFault(simulator.Fault{Code: code, Times: 1})
	defer c.node.sim.ClearFaults()
	return c.send()
}

func (c *call) send() answer {
	r := c.req.Clone(context.Background()) // who hangs up does not take a command back
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	resp, err := c.node.sim.Transport().RoundTrip(r)
	if err != nil {
		return answer{reset: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{reset: true}
	}
	c.node.lab.note("%s%2d %s -> %d %s", strings.Repeat("    ", c.copy), c.n, c.kind, resp.StatusCode, short(body))
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// done says whether the call was carried out: a dead session is told of in a 200.
func (a answer) done() bool {
	var code struct{ Errorcode int }
	return a.status/100 == 2 && (len(a.body) == 0 || json.Unmarshal(a.body, &code) == nil && code.Errorcode == 0)
}

func short(body []byte) string {
	if len(body) > 60 {
		body = append(body[:60:60], "..."...)
	}
	return string(body)
}

// write sends the answer with NITRO's own status lines, or breaks it off.
func write(w http.ResponseWriter, a answer) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return // it is gone
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if a.reset {
		conn.(*net.TCPConn).SetLinger(0)
		return
	}
	reason := map[int]string{207: "Multi Status", 599: "Netscaler specific error"}[a.status]
	if reason == "" {
		reason = http.StatusText(a.status)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.status, reason)
	h := a.header.Clone()
	h.Set("Connection", "close")
	h.Set("Content-Length", fmt.Sprint(len(a.body)))
	h.Write(&b)
	b.WriteString("\r\n")
	if a.cut {
		a.body = a.body[:len(a.body)/2]
	}
	b.Write(a.body)
	conn.Write(b.Bytes()) // whoever does not listen any more need not be told
}
