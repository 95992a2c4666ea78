package all

import (
	"nitrox/sources"
	"nitrox/sources/file"
)

var Kinds = []sources.Kind{sources.Define("file", file.Open)}
