// Command fill_drain fills a map and deletes 99 % of it: the buckets stay.
package main

import "programs/truth"

type record struct {
	id      uint64
	payload [24]byte
}

var (
	records = make(map[uint64]record)

	filled  = truth.Function("main.fill")
	drained = truth.Function("main.drain")
)

//go:noinline
func fill(n uint64) {
	for i := uint64(0); i < n; i++ {
		_, there := records[i]
		filled.Assign(there)
		records[i] = record{id: i}
	}
}

//go:noinline
func drain(n uint64) {
	for i := uint64(0); i < n; i++ {
		if i%100 == 0 {
			continue
		}
		_, there := records[i]
		drained.Delete(there)
		delete(records, i)
	}
}

func work(ops int) {
	truth.Map("records", records)
	n := uint64(ops / 2)
	fill(n)
	drain(n)
}

func main() {
	truth.Run(work)
}
