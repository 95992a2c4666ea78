// Package kubernetes proves Nitrox against a real Kubernetes control plane: an
// etcd, a kube-apiserver and a kube-controller-manager, the nitrox binary, and a
// simulated NetScaler.
//
//	go test -tags e2e -count=1 -timeout 30m -v ./testdata/kubernetes/
//
// Services, Deployments, nodes and pods are made through the API; Kubernetes's
// own controllers make pods of Deployments, and EndpointSlices of pods. The
// tests play scheduler and kubelets: they bind pods to nodes and set their
// status. After each step the truth is computed from the pods, which Nitrox
// does not read, one `nitrox sync` runs, and the service group must hold
// exactly that truth.
//
// It needs root on Linux, etcd (Debian: etcd-server) and unshare. The two Kubernetes binaries are
// built from the sources that controlplane/go.mod names, which takes about seven
// minutes of one processor, and kept in the user's cache directory. Where
// something is missing the tests are skipped with the reason, or fail if
// CI=true.
package kubernetes
