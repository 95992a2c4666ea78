package observe

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// dashboard holds the dashboard to Grafana's model, and what it asks to what was served.
func dashboard(t *testing.T, made map[string]state) {
	text, err := os.ReadFile(root + "/deploy/observe/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	known := cog.NewRuntime() // what it does not know is taken as it is; to know everything takes half a minute to compile
	known.RegisterDataqueryVariant(prometheus.VariantConfig())
	for _, kind := range []variants.PanelcfgConfig{stat.VariantConfig(), statetimeline.VariantConfig(), table.VariantConfig(), timeseries.VariantConfig()} {
		known.RegisterPanelcfgVariant(kind)
		kinds[kind.Identifier] = true
	}
	var strict grafana.Dashboard
	err = strict.UnmarshalJSONStrict(text)
	if problems, ok := err.(cog.BuildErrors); !ok && err != nil || len(problems) > 0 { // without any it is no nil error
		t.Errorf("Grafana's model: %v", err)
	}
	type source struct{ Type, Uid string }
	var d struct {
		Panels []struct {
			ID                 int
			Type               string
			Title, Description string
			Datasource         source
			GridPos            struct{ X, Y, W, H int }
			Targets            []struct {
				Datasource  source
				RefID, Expr string
			}
		}
		Templating struct {
			List []struct {
				Name, Type string
				Definition string
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	chosen := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	ask := func(where, expr string) {
		if !strings.Contains(expr, `job=~"$job"`) && where != "job" {
			t.Errorf("%s asks of all jobs: %s", where, expr)
		}
		served(t, made, where, chosen.Replace(expr))
	}
	cells, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s: its ID %d is not its own, or it says or asks nothing", p.Title, p.ID)
		}
		ids[p.ID] = true
		if !kinds[p.Type] {
			t.Errorf("%s: panels of the type %s are not checked", p.Title, p.Type)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if at := [2]int{x, y}; cells[at] != "" || x >= 24 || y >= 22 {
					t.Errorf("%s is over %q, or not on the screen", p.Title, cells[at])
				} else {
					cells[at] = p.Title
				}
			}
		}
		for _, target := range p.Targets {
			if want := (source{"prometheus", "${datasource}"}); p.Datasource != want || target.Datasource != want {
				t.Errorf("%s: the data source is %v, %v", p.Title, p.Datasource, target.Datasource)
			}
			ask(p.Title, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition)
			if m == nil {
				t.Fatalf("%s: %s", v.Name, v.Definition)
			}
			ask(v.Name, "count by ("+m[2]+") ("+m[1]+")")
		}
	}
}
