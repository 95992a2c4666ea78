package helm

import (
	"flag"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

const folder = "../../deploy/helm/nitrox"

var update = flag.Bool("update", false, "write golden files")

func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	release := common.ReleaseOptions{Name: "nitrox", Namespace: "nitrox", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

func TestTry(t *testing.T) {
	b, _ := os.ReadFile("../../examples/kubernetes/base/nitrox.yaml")
	for _, mode := range []string{"cronjob", "loop", "replicas"} {
		var m map[string]any
		yaml.Unmarshal(b, &m)
		got, err := render(t, map[string]any{"mode": mode, "mapping": m})
		if err != nil {
			t.Fatal(err)
		}
		for n, text := range got {
			if strings.TrimSpace(text) != "" {
				t.Logf("%s\n%s", n, text)
			}
		}
	}
	for _, v := range []map[string]any{{}, {"mapping": "a: b: c"}, {"foo": 1}, {"mapping": map[string]any{"sources": map[string]any{"a": map[string]any{"kubernete": nil}}}}} {
		_, err := render(t, v)
		t.Log(err)
	}
}
