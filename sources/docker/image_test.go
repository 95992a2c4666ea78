package docker_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
)

// Containers that only look like the app's: nobody started them to serve it.
func TestLookalikes(t *testing.T) {
	web := container("/a", 8001)
	b := text(t, container("/b", 8002)) // the app's own
	labels := func(pairs ...string) object {
		all := object{}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return all
	}
	compose := func(more ...string) object {
		return labels(append([]string{"com.docker.compose.project", "shop", "com.docker.compose.service", "web"}, more...)...)
	}
	task := labels("app", "web", "com.docker.swarm.service.name", "shop_web", "com.docker.swarm.task.id", "x7")
	const other = "10.0.0.7:8002 container b"
	shopWeb := docker.Query{Service: "shop/web"}
	for name, c := range map[string]struct {
		container object
		image     map[string]string // its labels
		query     docker.Query      // default: app=web
		want      []string
	}{
		"a label of its image": {container: web, image: map[string]string{"app": "web"}, want: []string{other,
			"left container a: its label app=web comes from its image; take it out of the image, and give it to the container (docker run --label)"}},
		"another value than its image's": {container: web, image: map[string]string{"app": "base"}, want: []string{"10.0.0.7:8001 container a", other}},
		"another label of its image":     {container: web, image: map[string]string{"maintainer": "web"}, want: []string{"10.0.0.7:8001 container a", other}},
		"a one-off container with a port": {container: web.edit("Labels", labels("app", "web", "com.docker.compose.oneoff", "True")),
			want: []string{other, "left container a: a one-off container (docker compose run)"}},
		"a one-off container without one": {container: web.edit("Labels", labels("app", "web", "com.docker.compose.oneoff", "True"), "Ports", []object{}),
			want: []string{other, "left container a: a one-off container (docker compose run)"}},
		"a container of the service itself": {container: web.edit("Labels", labels("app", "web", "com.docker.compose.oneoff", "False")),
			want: []string{"10.0.0.7:8001 container a", other}},
		"a task of the swarm": {container: web.edit("Labels", task),
			want: []string{other, "left container a: a task of the swarm's service shop_web; bind that by a source of kind swarm"}},
		"a task that is asked for as one": {container: web.edit("Labels", task), query: docker.Query{Label: "com.docker.swarm.service.name=shop_web"},
			want: []string{"10.0.0.7:8001 container a"}},
		"created":  {container: web.edit("State", "created", "Status", "Created", "Ports", []object{}), want: []string{other, "left container a: created"}},
		"removing": {container: web.edit("State", "removing", "Status", "Removal In Progress"), want: []string{other, "left container a: removing"}},
		"dead":     {container: web.edit("State", "dead", "Status", "Dead"), want: []string{other, "left container a: dead"}},
		"restarting, told by an old API": {container: web.edit("State", nil, "Status", "Restarting (1) 2 seconds ago"),
			want: []string{other, "left container a: not running: Restarting (1) 2 seconds ago"}},

		"Compose: an image that it has built": {query: shopWeb, container: web.edit("Labels", compose("com.docker.compose.container-number", "1")),
			image: built("shop", "web"), want: []string{"10.0.0.7:8001 container a"}},
		"Compose: an image that it has built, asked for by label": {query: docker.Query{Label: "com.docker.compose.service=web"},
			container: web.edit("Labels", compose("com.docker.compose.container-number", "1")), image: built("shop", "web"), want: []string{"10.0.0.7:8001 container a"}},
		"Compose: that image, run by hand": {query: shopWeb, container: web.edit("Labels", compose()), image: built("shop", "web"), want: []string{
			"left container a: its label com.docker.compose.service=web comes from its image, and Docker Compose did not start it",
			`doubt: there is no container of the Compose service shop/web, apart from 1 container left out`}},
		"Compose: an image that pretends": {query: docker.Query{Service: "web"}, container: web.edit("Labels", compose("com.docker.compose.container-number", "1")),
			image: map[string]string{"com.docker.compose.service": "web", "com.docker.compose.project": "shop", "com.docker.compose.container-number": "1"}, want: []string{
				"left container a: its label com.docker.compose.service=web comes from its image, and Docker Compose did not start it",
				`doubt: there is no container of the Compose service web, apart from 1 container left out`}},
		"Compose: only a one-off is not an app that is empty": {query: shopWeb, container: web.edit("Labels", compose("com.docker.compose.oneoff", "True")), want: []string{
			"left container a: a one-off container (docker compose run)",
			`doubt: there is no container of the Compose service shop/web, apart from 1 container left out`}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, classic := range []bool{false, true} {
				d := &dockertest.Daemon{Containers: []string{text(t, c.container.edit("ImageID", "sha256:bb")), b}, Images: map[string]map[string]string{"sha256:bb": c.image}}
				config, q := docker.Config{Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")}, c.query
				if classic {
					d.Classic, d.SystemStatus, config.Kind = true, healthyNodes, docker.Classic
				}
				if q == (docker.Query{}) {
					q.Label = "app=web"
				}
				config.Host = serve(t, d)
				check(t, poll(t, config, q)[0], c.want...)
			}
		})
	}
}

// built are the labels that Compose gives an image that it builds.
func built(project, service string) map[string]string {
	return map[string]string{"com.docker.compose.project": project, "com.docker.compose.service": service, "com.docker.compose.version": "2.40.0"}
}

// An image that cannot be read tells nothing of the label: what is bound stays, and
// nothing is added.
func TestImagesThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		want string
	}{
		"gone":                     {404, "404 Not Found: No such image"},
		"a proxy lets not through": {403, "403 Forbidden: No such image; let Nitrox GET /images/ID/json"},
		"out of order":             {500, "500 Internal Server Error: No such image"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}}
			broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/images/") {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(c.code)
					w.Write([]byte(`{"message": "No such image"}`))
					return
				}
				d.ServeHTTP(w, r)
			})
			config := docker.Config{Host: serve(t, broken), Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")}
			check(t, poll(t, config, docker.Query{Label: "app=web"})[0],
				"10.0.0.7:8001 container a, uncertain: its image's labels are not known",
				"doubt: container a: it is not known whether the label is its own or its image's: GET /v1.41/images/sha256:aa/json: "+c.want)
		})
	}
}

// Nor does an answer that is whole and not of that image.
func TestAnAnswerOfAnotherImage(t *testing.T) {
	for _, answer := range []string{`{}`, `{"Id":"sha256:bb","Config":{"Labels":{}}}`} {
		d := &dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}}
		broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/images/") {
				_, _ = w.Write([]byte(answer))
				return
			}
			d.ServeHTTP(w, r)
		})
		config := docker.Config{Host: serve(t, broken), Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")}
		check(t, poll(t, config, docker.Query{Label: "app=web"})[0],
			"10.0.0.7:8001 container a, uncertain: its image's labels are not known",
			"doubt: container a: it is not known whether the label is its own or its image's: the answer about image sha256:aa is not of that image")
	}
}

// One request more for each image, and none from the next poll on.
func TestAnImageIsReadOnce(t *testing.T) {
	d := &dockertest.Daemon{}
	for _, name := range []string{"/a", "/b", "/c"} {
		d.Containers = append(d.Containers, text(t, container(name, 8001+len(d.Containers))))
	}
	d.Containers = append(d.Containers, text(t, container("/d", 9000).edit("ImageID", "sha256:dd")),
		text(t, container("/other", 9001).edit("ImageID", "sha256:ee", "Labels", object{"app": "other"})))
	var images []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, id, ok := strings.Cut(r.URL.Path, "/images/"); ok {
			images = append(images, id)
		}
		d.ServeHTTP(w, r)
	})
	s := open(t, docker.Config{Host: serve(t, h), Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")})
	for _, app := range []string{"web", "web", "other", "web", "other"} { // as events of apps lead to polls of these alone
		if _, err := s.Poll(t.Context(), []docker.Query{{Label: "app=" + app}}, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(images, " "); got != "sha256:aa/json sha256:dd/json sha256:ee/json" {
		t.Errorf("read %s", got)
	}
}
