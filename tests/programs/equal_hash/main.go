// Command equal_hash uses keys that differ and have one hash: the type of what an interface inside of a key holds is not
// hashed.
package main

import "programs/truth"

type (
	caller   struct{}
	deadline struct{}

	context struct{ key any }
	couple  [2]any
)

var (
	// two has two keys of one hash, and nothing happens to it behind the second.
	two = make(map[context]string)
	// grown has two keys of each hash, and some of three.
	grown = make(map[context]int)
	pairs = make(map[couple]int)
	// drained loses keys whose hash no other has, and is asked to delete others that are not there.
	drained = make(map[context]int)
	// parted loses one of two keys of one hash: which slot it had is not seen.
	parted = make(map[context]int)

	named    = truth.Function("main.name")
	filled   = truth.Function("main.fill")
	filledIn = truth.Function("main.fillPairs")
	dropped  = truth.Function("main.drop")
)

//go:noinline
func name(m map[context]string, key context, value string) {
	_, there := m[key]
	named.Assign(there)
	m[key] = value
}

//go:noinline
func fill(m map[context]int, key context) {
	_, there := m[key]
	filled.Assign(there)
	m[key]++
}

//go:noinline
func fillPairs(m map[couple]int, key couple) {
	_, there := m[key]
	filledIn.Assign(there)
	m[key]++
}

//go:noinline
func drop(m map[context]int, key context) {
	_, there := m[key]
	dropped.Delete(there)
	delete(m, key)
}

func work(ops int) {
	name(two, context{caller{}}, "a")
	name(two, context{deadline{}}, "b")
	n := ops / 12
	for i := 0; i < n; i++ {
		fill(grown, context{int64(i)})
		fill(grown, context{uint64(i)})
		fillPairs(pairs, couple{i, uint8(i)})
		fillPairs(pairs, couple{uint(i), uint8(i)})
		fill(drained, context{int64(i)})
		if i%3 == 0 {
			fill(grown, context{int64(i)})
			fill(grown, context{int(i)})
			fill(grown, context{true})
			fill(grown, context{uint8(1)})
		}
		if i%2 == 0 {
			drop(drained, context{uint64(i)}) // not there
			drop(drained, context{int64(i)})
		}
	}
	for i := 0; i < 40; i++ {
		fill(parted, context{int64(i)})
		fill(parted, context{uint64(i)})
	}
	drop(parted, context{int64(3)})
	drop(parted, context{uint64(3)})
	fill(parted, context{int64(50)})
	truth.Map("two", two)
	truth.Map("grown", grown)
	truth.Map("pairs", pairs)
	truth.Map("drained", drained)
	truth.Map("parted", parted)
}

func main() {
	truth.Run(work)
}
