module github.com/docker/swarm

go 1.26.0

require (
	github.com/coreos/etcd v3.3.27+incompatible
	github.com/docker/distribution v2.7.1+incompatible
	github.com/docker/docker v17.12.0-ce-rc1+incompatible
	github.com/docker/go-connections v0.4.0
	github.com/docker/go-events v0.1.0
	github.com/docker/go-units v0.3.2
	github.com/docker/leadership v0.0.0
	github.com/docker/libkv v0.2.1
	github.com/gorilla/mux v1.4.0
	github.com/hashicorp/consul v0.8.0
	github.com/moby/swarmkit/v2 v2.0.0
	github.com/pkg/errors v0.9.1
	github.com/samuel/go-zookeeper v0.0.0-20190923202752-2cc03de413da
	github.com/sirupsen/logrus v1.10.2
	github.com/skarademir/naturalsort v0.0.0
	github.com/urfave/cli v1.19.1
	golang.org/x/net v0.59.0
)

require (
	github.com/coreos/go-semver v0.3.1 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/go-metrics v0.7.0 // indirect
	github.com/hashicorp/golang-lru v1.0.2 // indirect
	github.com/hashicorp/serf v0.11.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/konsorten/go-windows-terminal-sequences v1.0.1 // indirect
	github.com/modern-go/concurrent v0.0.0-20180228061459-e0a39a4cb421 // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/stretchr/objx v0.5.3 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	github.com/ugorji/go/codec v1.3.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	google.golang.org/grpc v1.53.0 // indirect
)

replace golang.org/x/net => golang.org/x/net v0.17.0

replace github.com/docker/leadership => LEADERSHIP

replace github.com/skarademir/naturalsort => NATURALSORT
