package simulator

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
