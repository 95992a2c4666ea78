package sourcetest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
	"nitrox/sources/stream"
)

// Watch follows a stream of lines of which "change" is a hint, and of "web".
func (c *careless) Watch(ctx context.Context, queries []string, changed func([]int)) error {
	web := []int{}
	for i, q := range queries {
		if q == "web" || c.sin == "tells of what it is not about" {
			web = append(web, i)
		}
	}
	first := []int(nil)
	switch c.sin {
	case "tells of one of two who ask for the same":
		web = web[:1]
	case "does not tell of which query an event is":
		web = nil
	case "connects for one query":
		first = web
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if c.sin != "follows redirects" {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	if c.sin == "says that it has connected before it has" {
		changed(nil)
	}
	if c.sin == "leaves a goroutine behind" {
		go func() { time.Sleep(time.Minute) }()
	}
	follow := func(hint func([]int)) error {
		return stream.Read(ctx, stream.Expected{Types: []string{"text/lines"}}, func(ctx context.Context) (*http.Response, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/events", nil)
			if err != nil {
				return nil, err
			}
			r.Header.Set("X-Token", "s3cret")
			resp, err := client.Do(r)
			switch {
			case err != nil:
			case c.sin == "prints its token" && resp.StatusCode != 200:
				resp.Body.Close()
				return nil, errors.New("token s3cret: " + resp.Status)
			case c.sin == "ignores the status":
				resp.StatusCode = 200
			case c.sin == "ignores the content type":
				resp.Header.Set("Content-Type", "text/lines")
			}
			return resp, err
		}, func(body io.Reader) error {
			hint(first)
			return c.lines(body, func() { hint(web) })
		})
	}
	switch c.sin {
	case "reads no further while it is told":
		return follow(changed)
	case "opens a stream again by itself":
		return stream.Hints(changed, func(hint func([]int)) error {
			for ctx.Err() == nil {
				if err := follow(hint); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return stream.Hints(changed, follow)
}

func (c *careless) lines(r io.Reader, hint func()) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if c.sin == "keeps a line without end" && errors.Is(err, bufio.ErrBufferFull) {
			var all []byte
			all, err = lines.ReadBytes('\n')
			line = append(line, all...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && c.sin == "ends without a word":
			return nil
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case strings.HasPrefix(string(line), "change") || c.sin == "takes all for hints":
			hint()
		case c.sin == "ends at what it does not know" && string(line) != "quiet\n":
			return errors.New("unknown")
		}
	}
}

// manager serves what careless reads.
type manager struct {
	mu      sync.Mutex
	streams map[chan struct{}]bool
}

func (m *manager) change() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		s <- struct{}{}
	}
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/apps"):
		io.WriteString(w, `["web"]`)
	case strings.HasSuffix(r.URL.Path, "/addrs"):
		io.WriteString(w, `["10.0.0.1:80"]`)
	default:
		s := make(chan struct{}, 10)
		m.mu.Lock()
		m.streams[s] = true
		m.mu.Unlock()
		w.Header().Set("Content-Type", "text/lines")
		for {
			http.NewResponseController(w).Flush()
			select {
			case <-s:
				io.WriteString(w, "change\n")
			case <-r.Context().Done():
				return
			}
		}
	}
}

// TestAWatchLikeThis is what the test below runs in a process of its own.
func TestAWatchLikeThis(t *testing.T) {
	m := &manager{streams: map[chan struct{}]bool{}}
	lines := func(all ...string) func(*http.Request) []string {
		return func(*http.Request) []string { return all }
	}
	sourcetest.Watch(t, sourcetest.Stream{
		Open: func(t *testing.T, url string) sources.Opened {
			s, err := sources.Define("careless", func(url string) (*careless, error) {
				return &careless{url: url, sin: os.Getenv("SOURCETEST_SIN")}, nil
			}).Open(url)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Query: "web", Other: "shop", Handler: m, Change: m.change, Secrets: []string{"s3cret"},
		IsStream: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/events") },
		Type:     "text/lines",
		Event:    func(_ *http.Request, size int) string { return "change" + strings.Repeat("x", size) + "\n" },
		Patience: 10 * time.Second,
		Quiet:    lines("quiet\n"), Unknown: lines("news\n", "\n"),
	})
}

func TestTheSuiteSeesCarelessWatches(t *testing.T) {
	for sin, fault := range map[string]string{
		"follows redirects":                        "refusals/it",
		"prints its token":                         "refusals/it/401_text/plain",
		"says that it has connected before it has": "no_answer",
		"leaves a goroutine behind":                "connects,_then_silence",
		"ignores the status":                       "refusals/it/500_text/lines",
		"ignores the content type":                 "refusals/it/200_text/html",
		"reads no further while it is told":        "burst_of_10,000_events",
		"opens a stream again by itself":           "closes_at_once,_again_and_again",
		"keeps a line without end":                 "a_line_without_end",
		"ends without a word":                      "a_line_of_a_megabyte",
		"takes all for hints":                      "what_changes_nothing_is_no_hint",
		"ends at what it does not know":            "unknown_events",
		"tells of what it is not about":            "changes_are_hints",
		"tells of one of two who ask for the same": "changes_are_hints",
		"does not tell of which query an event is": "burst_of_10,000_events",
		"connects for one query":                   "connects,_then_silence",
	} {
		t.Run(sin, func(t *testing.T) {
			t.Parallel()
			var out []byte
			for range 3 {
				c := exec.CommandContext(t.Context(), os.Args[0], "-test.v",
					"-test.run=^TestAWatchLikeThis$/^"+strings.ReplaceAll(regexp.QuoteMeta(strings.Split(fault, "/it/")[0]), "/", "$/^")+"$")
				c.Env = append(os.Environ(), "SOURCETEST_SIN="+sin)
				var err error
				if out, err = c.CombinedOutput(); err == nil {
					t.Fatal("the suite passes")
				}
				// A watch that is careless enough speaks when its test is over,
				// which ends the process before it has said how that went.
				if !strings.Contains(string(out), "panic: ") {
					break
				}
			}
			if !strings.Contains(string(out), "--- FAIL: TestAWatchLikeThis/"+fault+" (") {
				t.Errorf("the suite fails, but not for %q:\n%s", fault, out)
			}
		})
	}
}
