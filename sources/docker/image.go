package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"

	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
)

// Whoever builds an image may give it labels, and its containers have them, too.
// A list of containers does not tell these from the labels that somebody gave to
// the container; only the image does.

// image is what is known of an image: its labels, or why it cannot be read.
type image struct {
	labels map[string]string
	err    error
}

// keptImages is how many bytes of labels are kept of images that a poll does not
// need: another, of other apps, will.
const keptImages = 1 << 20

// images are those that polls before have read, by ID. An ID is a hash of the
// image, labels and all.
type images struct {
	mu   sync.Mutex
	byID map[string]image
}

// read reads the images of the containers, each once.
func (known *images) read(ctx context.Context, c *connection, byLabel map[string][]container.Summary) (map[string]image, error) {
	known.mu.Lock()
	before := known.byID
	known.mu.Unlock()
	all := make(map[string]image)
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		for _, summary := range byLabel[label] {
			id := imageOf(summary)
			if _, ok := all[id]; ok {
				continue
			}
			if i, ok := before[id]; ok && strings.HasPrefix(id, "sha256:") && i.err == nil {
				all[id] = i
				continue
			}
			all[id] = readImage(ctx, c, id)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	kept, size := make(map[string]image), int64(0)
	for id, i := range before {
		if size += bounds.Size(i); size < keptImages {
			kept[id] = i
		}
	}
	maps.Copy(kept, all)
	known.mu.Lock()
	defer known.mu.Unlock()
	known.byID = kept
	return all, nil
}

// inspected is what counts of an image.
type inspected struct {
	ID     string `json:"Id"`
	Config struct{ Labels map[string]string }
}

func readImage(ctx context.Context, c *connection, id string) (i image) {
	if id == "" {
		return image{err: errors.New("the list of containers does not name the image")}
	}
	var inspect inspected
	read := func(d *bounds.Decoder) error { return d.Decode(&inspect) }
	i.err = ask(ctx, &exchange{read: read, shape: bounds.Of[inspected](), open: '{', stand: "{}"}, func(ctx context.Context) error {
		_, err := c.client.ImageInspect(ctx, id)
		return err
	})
	bare := func(id string) string { return strings.TrimPrefix(id, "sha256:") } // as some versions of Podman write it
	if i.err == nil && (inspect.ID == "" || bare(id) != id && bare(inspect.ID) != bare(id)) {
		i.err = fmt.Errorf("the answer about image %s is not of that image", id)
	}
	i.labels = inspect.Config.Labels
	if httpapi.Forbidden(i.err) {
		i.err = fmt.Errorf("%w; let Nitrox GET /images/ID/json", i.err)
	}
	return i
}

// imageOf is the image of a container: its ID, or its name where the list is of an
// API without these.
func imageOf(c container.Summary) string {
	if c.ImageID != "" {
		return c.ImageID
	}
	return c.Image
}

// lookalike says why a container is none of the app although it has the label:
// because it is not one of those that serve, or because the label is not its own.
func lookalike(q Query, c container.Summary, image map[string]string) string {
	label, _ := q.label()
	key, _, _ := strings.Cut(label, "=")
	inherited := func(key string) bool {
		value, ok := image[key]
		return ok && value == c.Labels[key]
	}
	switch {
	case strings.EqualFold(c.Labels[composeOneOff], "true"):
		return "a one-off container (docker compose run)"
	case c.Labels[swarmTask] != "" && !strings.HasPrefix(key, swarmPrefix):
		return fmt.Sprintf("a task of the swarm's service %s; bind that by a source of kind swarm", c.Labels[swarmService])
	case strings.HasPrefix(key, composePrefix):
		// Compose gives an image that it builds the names of project and service,
		// and numbers containers only.
		if (inherited(composeService) || inherited(composeProject)) && (c.Labels[composeNumber] == "" || inherited(composeNumber)) {
			return fmt.Sprintf("its label %s comes from its image, and Docker Compose did not start it", label)
		}
	case inherited(key):
		return fmt.Sprintf("its label %s comes from its image; take it out of the image, and give it to the container (docker run --label)", label)
	}
	return ""
}
