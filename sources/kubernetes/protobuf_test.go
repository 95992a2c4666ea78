package kubernetes

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// inProtobuf is a list as an API server writes it in protobuf. One that has what
// no API server has, such as a text for a number, has no such form.
func inProtobuf(kind string, list []byte) ([]byte, bool) {
	object := map[string]runtime.Object{"ServiceList": &corev1.ServiceList{}, "NodeList": &corev1.NodeList{}, "PodList": &corev1.PodList{},
		"EndpointSliceList": &discoveryv1.EndpointSliceList{}}[kind]
	var message bytes.Buffer
	if json.Unmarshal(list, object) != nil {
		return nil, false
	}
	if err := serializer.NewSerializer(nil, nil).Encode(object, &message); err != nil {
		panic(err)
	}
	return message.Bytes(), true
}

// onlyJSON makes the API servers of the tests answer in JSON, as some proxies do.
const onlyJSON = "NITROX_TEST_ONLY_JSON"

// TestInJSON: all tests of the package hold in the other form, too.
func TestInJSON(t *testing.T) {
	if os.Getenv(onlyJSON) != "" {
		t.Skip("they are being run")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.count=1")
	cmd.Env = append(os.Environ(), onlyJSON+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
