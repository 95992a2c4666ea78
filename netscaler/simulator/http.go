package simulator

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is an answer before it is written to a connection.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	drop    bool // close the connection without a byte
	partial bool // close it in the middle of the body
}

// reasons are the status lines that are not those of the HTTP standard. The
// official Go client compares them as text.
var reasons = map[int]string{
	207: "Multi Status",
	209: "X-NITRO-WARNING",
	599: "Netscaler specific error",
}

func (r *reply) reason() string {
	if reason, ok := reasons[r.status]; ok {
		return reason
	}
	return http.StatusText(r.status)
}

const (
	jsonType = "application/json; charset=utf-8"
	htmlType = "text/html; charset=UTF-8"
)

func (s *Simulator) newReply(status int, contentType string, body []byte) *reply {
	h := http.Header{
		"Server":          {"Apache"},
		"X-Frame-Options": {"SAMEORIGIN"},
		"Expires":         {"Thu, 19 Nov 1981 08:52:00 GMT"},
		"Cache-Control":   {"no-store, no-cache, must-revalidate, post-check=0, pre-check=0"},
		"Pragma":          {"no-cache"},
		"Content-Type":    {contentType},
		"Content-Length":  {strconv.Itoa(len(body))},
	}
	if !s.opt.KeepAlive {
		h.Set("Connection", "close")
	}
	return &reply{status: status, header: h, body: body}
}

func (s *Simulator) page(status int, heading string) *reply {
	return s.newReply(status, htmlType, []byte("<html><head><title>"+http.StatusText(status)+"</title></head><body><h4>"+heading+"</h4></body></html>\n"))
}

func (s *Simulator) refuse(f *failure) *reply {
	return s.newReply(s.status(f.code), jsonType, f.appendTo(nil))
}

// ServeHTTP answers NITRO under /nitro/v1 and, if [Options.Control] is set, the
// control endpoint under /simulator.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r)
	if err != nil {
		http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.answer(r, body).write(w, r)
}

// maxBody is far over any body that a client sends.
const maxBody = 64 << 20

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

// write sends the reply. A status line of NITRO's own, a lost connection and a
// cut-off body need the connection itself; where it cannot be had (HTTP/2, a
// recorder) the code goes out with no reason, and losing is aborting.
func (r *reply) write(w http.ResponseWriter, req *http.Request) {
	raw := r.drop || r.partial || r.reason() != http.StatusText(r.status)
	hijacker, ok := w.(http.Hijacker)
	if !raw || !ok {
		if r.drop {
			panic(http.ErrAbortHandler)
		}
		for k, v := range r.header {
			w.Header()[k] = v
		}
		w.WriteHeader(r.status)
		if r.partial {
			w.Write(r.body[:len(r.body)/2])
			panic(http.ErrAbortHandler)
		}
		w.Write(r.body) // the client may be gone; then nobody is there to tell
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	if r.drop {
		return
	}
	r.header.Set("Connection", "close") // the connection is ours, and ends here
	r.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	out := bufio.NewWriter(conn)
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", r.status, r.reason())
	r.header.Write(out)
	out.WriteString("\r\n")
	body := r.body
	if r.partial {
		body = body[:len(body)/2]
	}
	if req.Method != http.MethodHead {
		out.Write(body)
	}
	out.Flush()
}

// Transport calls the simulator in process. Sockets do not rest in
// testing/synctest; this does. Lost connections and hung calls are errors as
// they are over a socket, and a cancelled call still takes effect.
func (s *Simulator) Transport() http.RoundTripper { return transport{s} }

type transport struct{ sim *Simulator }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		body = b
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answered := make(chan *reply, 1)
	go func() { answered <- t.sim.answer(r, body) }()
	var rep *reply
	select {
	case rep = <-answered:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if rep.drop {
		return nil, fmt.Errorf("the simulator closed the connection: %w", io.EOF)
	}
	var content io.Reader = bytes.NewReader(rep.body)
	if rep.partial {
		content = io.MultiReader(bytes.NewReader(rep.body[:len(rep.body)/2]), cutOff{})
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", rep.status, rep.reason()), StatusCode: rep.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rep.header, Body: io.NopCloser(content), ContentLength: int64(len(rep.body)), Request: r,
	}, nil
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answer is one request from its bytes to its reply.
func (s *Simulator) answer(r *http.Request, body []byte) *reply {
	path := r.URL.EscapedPath()
	if s.opt.Control && strings.HasPrefix(path, "/simulator/") {
		return s.control(r, body)
	}
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	if len(parts) < 4 || parts[0] != "nitro" || parts[1] != "v1" || parts[2] != "config" && parts[2] != "stat" {
		return s.page(http.StatusNotFound, "Not Found")
	}
	req, f := parseTarget(r.URL)
	req.method, req.body = r.Method, body
	if f == nil {
		if onerror := r.Header.Get("X-NITRO-ONERROR"); onerror != "" {
			req.query.onerror = onerror
		}
		if len(bytes.TrimSpace(body)) > 0 && r.Method != http.MethodGet && r.Method != http.MethodDelete {
			f = req.parseBody(r.Header)
		}
	}
	call := Call{Method: r.Method, Path: path, Query: r.URL.RawQuery, Action: req.query.action, Type: req.typ}
	rep := s.admit(r.Context(), req, r.Header, &call, f)
	call.Status = rep.status
	if rep.drop {
		call.Status = 0
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	return rep
}

// admit lets a request in: connections, faults, then the work.
func (s *Simulator) admit(ctx context.Context, req *request, h http.Header, call *Call, bad *failure) *reply {
	s.mu.Lock()
	s.settle()
	s.connections++
	crowded := s.connections > cmp.Or(s.opt.MaxConnections, 20)
	fault := s.takeFault(req)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.connections--
		s.mu.Unlock()
	}()
	if crowded {
		call.Code = codeConnectionLimit
		return s.refuse(fail(codeConnectionLimit))
	}
	time.Sleep(fault.Delay)
	switch {
	case fault.Hang:
		<-ctx.Done()
		return &reply{drop: true}
	case fault.DropBefore:
		return &reply{drop: true}
	case fault.answers():
		call.Code = fault.Code
		return s.faulty(fault)
	case fault.KillSession:
		s.KillSessions()
	}
	rep, f := s.process(req, h, call, bad)
	if f != nil {
		call.Code = f.code
		if rep == nil {
			rep = s.refuse(f)
		}
	}
	rep.drop, rep.partial = fault.DropAfterApply, fault.DropMidReply
	return rep
}

// process is a request that no fault kept from being served. Where the reply is
// nil it is the failure's own.
func (s *Simulator) process(req *request, h http.Header, call *Call, bad *failure) (*reply, *failure) {
	if req.typ == "login" && !req.stat {
		if bad != nil {
			return nil, bad
		}
		return s.answerLogin(req, call)
	}
	x := &exec{Simulator: s, now: time.Now()}
	s.mu.Lock()
	user, ses, html, f := s.identify(h, req.session, x.now)
	s.mu.Unlock()
	call.User = user
	if f != nil {
		return s.unidentified(req, html, f), f
	}
	if bad != nil {
		return nil, bad
	}
	if req.typ == "logout" && !req.stat {
		return s.answerLogout(req, ses)
	}
	x.user, x.session = user, ses
	return x.route(req)
}

func (s *Simulator) unidentified(req *request, html bool, f *failure) *reply {
	if html {
		rep := s.page(http.StatusUnauthorized, f.message())
		rep.header.Set("WWW-Authenticate", `Basic realm="NITRO"`)
		return rep
	}
	rep := s.refuse(f)
	// A dead session is told with status 200 to bulk requests (comment in the
	// official Python client).
	if len(req.payload) == 1 && req.payload[0].array && (f.code == codeSessionDead || f.code == codeNotLoggedIn) {
		rep.status = http.StatusOK
	}
	return rep
}

func (s *Simulator) answerLogin(req *request, call *Call) (*reply, *failure) {
	switch {
	case req.method != http.MethodPost:
		return nil, fail(codeMethod)
	case req.query.action != "":
		return nil, fail(codeAction, req.query.action)
	case len(req.payload) != 1 || req.payload[0].typ != "login" || req.payload[0].array:
		return nil, fail(codeJSONInput)
	}
	it := req.payload[0].items[0]
	call.User = it.get("username")
	s.mu.Lock()
	ses, f := s.login(it)
	s.mu.Unlock()
	if f != nil {
		return nil, f
	}
	b := appendHead(nil, &failure{})
	b = append(b, `, "sessionid": `...)
	b = append(appendText(b, ses.id), " }"...)
	rep := s.newReply(http.StatusCreated, jsonType, b)
	if !s.opt.NoCookie {
		rep.header.Set("Set-Cookie", "NITRO_AUTH_TOKEN=%23%23"+ses.id[2:]+"; path=/nitro/v1")
	}
	return rep, nil
}

func (s *Simulator) answerLogout(req *request, ses *session) (*reply, *failure) {
	if req.method != http.MethodPost {
		return nil, fail(codeMethod)
	}
	if ses != nil {
		s.mu.Lock()
		ses.dead = true
		s.mu.Unlock()
	}
	return s.refuse(&failure{}), nil
}
