// Package e2e proves Nitrox against a real Docker: its own dockerd on nodes
// made of network namespaces, the nitrox binary, and a simulated NetScaler.
//
//	go test -tags e2e -count=1 -v ./testdata/e2e/
//
// After each step (deploy, scale, kill, drain, crash, stop) the truth is asked
// of every node's engine with the docker command, one `nitrox sync` runs, and
// the members of the service groups must be exactly that truth and serve HTTP.
// What Nitrox reads (the swarm's services, tasks and nodes) and what the truth
// is made of (the containers of each engine) have no code in common.
//
// It needs root, dockerd and docker (20.10 or newer), iproute2 and iptables;
// install.sh installs what is missing. Where something is missing the tests
// are skipped with the reason, or fail if CI=true. Nothing is pulled: the one
// image holds a static binary built from web/. The machine's own Docker is
// neither used nor touched.
//
// The classic standalone Swarm is built from its last release, with the changes
// that its dependencies of today need (classic_test.go). Where its modules are not
// to be had that test is skipped, or fails if CI=true.
package e2e
