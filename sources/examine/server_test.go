package examine_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources/examine"
	"nitrox/sources/trust/trusttest"
)

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// A server that says nothing holds up nobody for long.
func TestAServerThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		checks, reachable := examine.Server{URL: "http://192.0.2.1:8080/", Transport: transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}.Examine(t.Context())
		want := []examine.Check{{Subject: "port 192.0.2.1:8080", State: examine.Failed, Seen: "no answer within 10s",
			Remedy: "correct the address, or open the firewalls on the way"}}
		if took := time.Since(began); reachable || fmt.Sprint(checks) != fmt.Sprint(want) || took != 10*time.Second {
			t.Errorf("%v after %v", checks, took)
		}
	})
}

// The Date of an answer has whole seconds, and tells nothing of less.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		apart time.Duration
		want  examine.State
		seen  string
	}{
		{0, examine.OK, "as here"},
		{-900 * time.Millisecond, examine.OK, "-1s from ours"},
		{20 * time.Second, examine.OK, "from ours"},
		{40 * time.Second, examine.Warning, "ahead of ours"},
		{-4 * time.Minute, examine.Warning, "behind ours"},
		{-5*time.Minute - 2*time.Second, examine.Failed, "behind ours"},
		{2 * time.Hour, examine.Failed, "2h0m0s ahead of ours"},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(700 * time.Millisecond)
			checks, reachable := examine.Server{URL: "http://192.0.2.1/", Transport: transport(func(*http.Request) (*http.Response, error) {
				date := time.Now().Add(c.apart).UTC().Format(http.TimeFormat)
				return &http.Response{StatusCode: 500, Header: http.Header{"Date": {date}}, Body: http.NoBody}, nil
			})}.Examine(t.Context())
			if !reachable || len(checks) != 1 || checks[0].State != c.want || !strings.Contains(checks[0].Seen, c.seen) {
				t.Errorf("%v apart: %+v", c.apart, checks)
			}
		})
	}
}

// A certificate is to be replaced before it ends.
func TestACertificateThatEndsSoon(t *testing.T) {
	server := trusttest.Serve(t, http.NotFoundHandler(), time.Now().Add(48*time.Hour))
	client := server.Client().Transport.(*http.Transport)
	client.TLSClientConfig.InsecureSkipVerify = true
	checks, _ := examine.Server{URL: server.URL, Transport: client}.Examine(context.Background())
	if len(checks) < 2 || checks[1].Subject != "TLS" || checks[1].State != examine.Warning ||
		checks[1].Remedy != "replace it: it ends in 47 hours" {
		t.Errorf("%+v", checks)
	}
}
