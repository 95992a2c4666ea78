// Package bench measures what Nitrox costs a NetScaler, a cluster manager and the
// machine that it runs on, and writes docs/benchmarks.md.
//
//	go test ./testdata/bench                                                  that it stays small: seconds
//	go test ./testdata/bench -run Benchmarks -v -timeout 60m -full -write     all figures, and the document (make bench)
//	go test ./testdata/bench -run Benchmarks -v -full -only '^An event'       some of them, printed
//
// What runs is the binary, as a process of its own; simulated NetScalers and cluster
// managers are in the test's process, so that their work is not counted. Beside each
// pass stand two processes of the test's own: the floor, which fetches what the
// NetScaler answered in that pass and decodes it into the smallest structs that do, and
// a script that does the same work group by group and member by member. All three are
// measured alike: bytes on the wire, as they pass the listener, with heads; the
// processor's time that the kernel counted; the most memory that was resident, VmHWM.
//
// Counts and bytes are held in TestCosts, with margins; time never is.
package bench
