package main

import (
	"slices"
	"strings"
)

// chart publishes the Helm chart, which has the version of the release, as SemVer writes it,
// and installs its image.
func (r *release) chart() error {
	files, err := collect(map[string]string{"deploy/helm/nitrox": ""})
	if err != nil {
		return err
	}
	number, tagged := strings.CutPrefix(r.version, "v")
	if !tagged { // a commit before the first tag
		number = "0.0.0-g" + number
	}
	at := slices.IndexFunc(files, func(f file) bool { return f.name == "Chart.yaml" })
	files[at].content = []byte(strings.NewReplacer("\nversion: 0.0.0 ", "\nversion: "+number+" ", "\nappVersion: latest ", "\nappVersion: \""+r.version+"\" ").
		Replace(string(files[at].content)))
	content, err := packed("nitrox", r.date, files)
	if err != nil {
		return err
	}
	return r.publish("nitrox-"+number+".tgz", content)
}
