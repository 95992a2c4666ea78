package kubernetes

import (
	"bufio"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"nitrox/sources/kubeapi"
)

// The form in which an API server writes an object for its own kind (API concepts,
// Kubernetes Protobuf encoding): [kubeapi.Magic], and a message runtime.Unknown
// (generated.proto in k8s.io/apimachinery/pkg/runtime) that has the kind, and then
// the object. Of a list that is a message with these fields, whatever the kind.
const (
	protobuf = "application/vnd.kubernetes.protobuf"

	unknownTypeMeta        = 1
	unknownRaw             = 2
	unknownContentEncoding = 3
	listMetadata           = 1
	listItems              = 2
)

// fields are what to do with those of a message that are wanted, by number.
type fields map[protowire.Number]func(size int64) error

func (p *page[T]) decodeProto(text *bufio.Reader, r resource) error {
	if _, err := text.Discard(len(kubeapi.Magic)); err != nil {
		return err
	}
	w := &wire{r: text}
	whole := false
	err := w.walk(-1, fields{
		unknownTypeMeta: func(size int64) error {
			var kind struct {
				APIVersion string `json:"apiVersion" proto:"1"`
				Kind       string `json:"kind" proto:"2"`
			}
			err := w.decode(size, &kind)
			p.APIVersion, p.Kind = kind.APIVersion, kind.Kind
			return err
		},
		unknownContentEncoding: func(size int64) error {
			if size > 0 {
				return errors.New("its content is encoded, which was not asked for; keep the proxy in between from encoding it")
			}
			return nil
		},
		unknownRaw: func(size int64) error {
			if whole {
				return errors.New("it has items twice")
			}
			whole = true
			if !p.is(r) {
				return nil // its fields are others
			}
			return w.walk(size, fields{
				listMetadata: func(size int64) error { return w.decode(size, &p.Metadata) },
				listItems: func(size int64) error {
					raw, err := w.read(size)
					if err != nil {
						return err
					}
					// An API server writes the metadata first, and what comes after may be cut off.
					_, _, head := protowire.ConsumeField(raw)
					item, bad, err := readItem[T](raw, raw[:max(0, head)], w.unmarshal)
					if err != nil {
						return err
					}
					return p.add(item, bad, &w.Memory)
				},
			})
		},
	})
	if err == nil && !whole {
		return fmt.Errorf("an object of kind %q without items", p.Kind)
	}
	return err
}
