// Command iterating writes to maps while it iterates over them: in the midst of their growth, and starts them anew.
package main

import "programs/truth"

var (
	grown   = make(map[uint64]*uint64)
	thinned = make(map[int32]int32)
	settled = make(map[string]int)

	filled  = truth.Function("main.fill")
	growing = truth.Function("main.growWhileIterating")
	thin    = truth.Function("main.thinWhileIterating")
)

//go:noinline
func fill(n int) {
	for i := 0; i < n; i++ {
		_, there := grown[uint64(i)]
		filled.Assign(there)
		grown[uint64(i)] = new(uint64)

		_, there = thinned[int32(i)]
		filled.Assign(there)
		thinned[int32(i)] = 1
	}
}

// growWhileIterating inserts as many keys as there are, and updates the one it is at, with a second iterator under way.
//
//go:noinline
func growWhileIterating() {
	next := uint64(len(grown))
	limit := 2 * next
	for key := range grown {
		for other := range grown {
			growing.Assign(true)
			grown[other] = nil
			break
		}
		growing.Assign(true)
		grown[key] = nil
		if next < limit {
			_, there := grown[next]
			growing.Assign(there)
			grown[next] = new(uint64)
			next++
		}
	}
}

// thinWhileIterating deletes what it meets, all but every fourth.
//
//go:noinline
func thinWhileIterating() {
	for key := range thinned {
		if key%4 != 0 {
			thin.Delete(true)
			delete(thinned, key)
		}
	}
	for key := range thinned {
		_, there := thinned[^key]
		thin.Assign(there)
		thinned[^key] = key
		thin.Delete(true)
		delete(thinned, key)
	}
}

func work(ops int) {
	truth.Map("grown", grown)
	truth.Map("thinned", thinned)
	truth.Map("settled", settled)
	n := ops / 8
	fill(n)
	growWhileIterating()
	thinWhileIterating()
	for key := range settled {
		delete(settled, key)
	}
}

func main() {
	truth.Run(work)
}
