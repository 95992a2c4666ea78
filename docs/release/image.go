package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

// container is how a container of the image starts.
func container(version, revision string) v1.ImageConfig {
	return v1.ImageConfig{
		// A user without a name, home or rights. It writes nothing: run it read-only.
		User:       "65532:65532",
		Env:        []string{"NITROX_CONFIG=/etc/nitrox/nitrox.yaml"},
		Entrypoint: []string{"/nitrox"},
		// It ends the pass: the change in hand is finished, the NetScaler's
		// configuration saved, the session ended. Allow a minute for that.
		StopSignal: "SIGTERM",
		Labels: map[string]string{
			v1.AnnotationTitle:       "Nitrox",
			v1.AnnotationDescription: "Keeps NetScaler service groups in step with containers",
			v1.AnnotationLicenses:    "Apache-2.0",
			v1.AnnotationVersion:     version,
			v1.AnnotationRevision:    revision,
		},
	}
}

// loadable is an image in the list that docker load reads where it does not read
// the layout of OCI, which is in the engines that keep images without containerd.
type loadable struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// image collects the same image for several platforms, as an archive that is a
// layout of OCI and one of docker save: its files are both's.
type image struct {
	version, revision string
	date              time.Time
	files             []file
	platforms         []v1.Descriptor
	loadable          []loadable
}

// blob adds a file under its hash.
func (i *image) blob(media string, content []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: media, Digest: digest.FromBytes(content), Size: int64(len(content))}
	i.files = append(i.files, file{blobPath(d), 0o644, content})
	return d
}

func blobPath(d v1.Descriptor) string { return "blobs/sha256/" + d.Digest.Encoded() }

func (i *image) blobOf(media string, value any) (v1.Descriptor, error) {
	text, err := json.Marshal(value)
	return i.blob(media, text), err
}

// add adds the image for a platform, from scratch: one layer of files.
func (i *image) add(target string, files []file) error {
	system, processor, _ := strings.Cut(target, "/")
	platform := v1.Platform{OS: system, Architecture: processor}
	content, err := tarball("", i.date, files)
	if err != nil {
		return err
	}
	packed, err := compressed(content)
	if err != nil {
		return err
	}
	layer := i.blob(v1.MediaTypeImageLayerGzip, packed)
	config, err := i.blobOf(v1.MediaTypeImageConfig, v1.Image{
		Created:  &i.date,
		Platform: platform,
		Config:   container(i.version, i.revision),
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(content)}},
		History:  []v1.History{{Created: &i.date, CreatedBy: "make dist"}},
	})
	if err != nil {
		return err
	}
	manifest, err := i.blobOf(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    config,
		Layers:    []v1.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	manifest.Platform = &platform
	i.platforms = append(i.platforms, manifest)
	tag := "nitrox:" + i.version
	if len(i.platforms) > 1 { // it would take the tag from the first
		tag += "-" + processor
	}
	i.loadable = append(i.loadable, loadable{blobPath(config), []string{tag}, []string{blobPath(layer)}})
	return nil
}

// archive is all that was added.
func (i *image) archive() ([]byte, error) {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: i.platforms}
	all, err := i.blobOf(v1.MediaTypeImageIndex, index)
	if err != nil {
		return nil, err
	}
	all.Annotations = map[string]string{
		v1.AnnotationRefName:       i.version,
		"io.containerd.image.name": "docker.io/library/nitrox:" + i.version, // what docker load calls it
	}
	index.Manifests = []v1.Descriptor{all}
	for name, value := range map[string]any{
		v1.ImageLayoutFile: v1.ImageLayout{Version: v1.ImageLayoutVersion},
		v1.ImageIndexFile:  index,
		"manifest.json":    i.loadable,
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		i.files = append(i.files, file{name, 0o644, text})
	}
	return tarball("", i.date, i.files)
}
