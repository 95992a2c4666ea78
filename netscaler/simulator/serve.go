package simulator

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"
)

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
	req, f := s.parseTarget(r.URL)
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
	s.record(call)
	s.mu.Unlock()
	return rep
}

// admit lets a request in: connections, faults, then the work.
func (s *Simulator) admit(ctx context.Context, req *request, h http.Header, call *Call, bad *failure) *reply {
	s.mu.Lock()
	s.settle()
	s.connections++
	crowded := s.connections > cmp.Or(s.opt.MaxConnections, 20)
	var fault Fault
	if !crowded {
		fault = s.takeFault(req)
	}
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
	if fault.Failover {
		if fault.DropAfterApply || fault.DropMidReply {
			defer s.Failover()
		} else {
			s.Failover()
		}
	}
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
		return s.answerLogin(req, h, call)
	}
	x := &exec{Simulator: s, now: time.Now()}
	s.mu.Lock()
	user, ses, html, f := s.identify(h, req.session, x.now)
	s.mu.Unlock()
	call.User = user
	if f != nil {
		return s.unidentified(req, html, f), f
	}
	if s.resource(req) == nil && req.typ != "logout" { // its body may have any form
		return nil, fail(codeObjectName, req.typ)
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

// answerLogin has the session in the body, and in a cookie after one that takes
// back an old session; or, where the media type of the SDKs came in, in a cookie
// of another name and an empty text. Both were recorded. (Of different releases,
// which may be the reason instead.)
func (s *Simulator) answerLogin(req *request, h http.Header, call *Call) (*reply, *failure) {
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
	if s.opt.LoginText || strings.HasPrefix(mediaType(h), vendorMedia) {
		rep := s.newReply(http.StatusCreated, htmlType, nil)
		rep.header.Set("Set-Cookie", "NITRO_AUTH_TOKEN=%23%23"+ses.id[2:]+"; path=/nitro/v1")
		return rep, nil
	}
	b := appendHead(nil, &failure{})
	b = append(b, `, "sessionid": `...)
	b = append(appendText(b, ses.id), " }"...)
	rep := s.newReply(http.StatusCreated, jsonType, b)
	if !s.opt.NoCookie {
		rep.header["Set-Cookie"] = []string{
			"SESSID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/",
			"sessionid=%23%23" + ses.id[2:] + "; path=/nitro/v1",
		}
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
