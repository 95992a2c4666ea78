package simulator

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

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
