// Package all lists the kinds of source that Nitrox has. A new one is a folder
// beside this one and a line here.
package all

import (
	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/file"
	"nitrox/sources/kubernetes"
	"nitrox/sources/marathon"
)

// Kinds are the kinds of source that a mapping file can name.
var Kinds = []sources.Kind{
	sources.Define("docker", docker.Open),
	sources.Define("file", file.Open),
	sources.Define("kubernetes", kubernetes.Open),
	sources.Define("marathon", marathon.Open),
}
