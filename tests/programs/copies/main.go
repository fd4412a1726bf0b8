//go:build go1.21

// Command copies copies maps: by maps.Clone, by maps.Copy, and goes on with original and copy.
package main

import (
	"maps"
	"strconv"

	"programs/truth"
)

type pages map[uint32][40]uint64

var (
	small = make(map[string]int)
	large = make(map[uint64]uint64)
	big   = make(pages)
	total = make(map[uint64]uint64)

	filled  = truth.Function("main.fill[...]")
	dropped = truth.Function("main.drop[...]")
	// What these two do is done in functions of the package maps; each entry of a clone is an insert.
	cloned = truth.Function("maps.Clone[...]")
	copied = truth.Function("maps.Copy[...]")
)

//go:noinline
func fill[M ~map[K]V, K comparable, V any](m M, from, to int, key func(int) K) {
	var value V
	for i := from; i < to; i++ {
		k := key(i)
		_, there := m[k]
		filled.Assign(there)
		m[k] = value
	}
}

//go:noinline
func drop[M ~map[K]V, K comparable, V any](m M, from, to int, key func(int) K) {
	for i := from; i < to; i++ {
		k := key(i)
		_, there := m[k]
		dropped.Delete(there)
		delete(m, k)
	}
}

// copyInto counts what maps.Copy does.
func copyInto(to, from map[uint64]uint64) {
	for key := range from {
		_, there := to[key]
		copied.Assign(there)
	}
	maps.Copy(to, from)
}

// clone copies a map that has been filled and thinned, and changes both.
func clone[M ~map[K]V, K comparable, V any](name string, m M, n int, key func(int) K) {
	truth.Map(name, m)
	fill(m, 0, n, key)
	drop(m, n/4, n/2, key)
	cloned.Inserts(2 * len(m))
	idle, busy := maps.Clone(m), maps.Clone(m)
	truth.Map(name+", idle clone", idle)
	truth.Map(name+", busy clone", busy)
	fill(busy, n, n*5/4, key)
	drop(busy, 0, n/4, key)
	fill(m, n/4, n/2, key)
}

func work(ops int) {
	n := ops / 8
	clone("small", small, 8, strconv.Itoa)
	clone("large", large, n, func(i int) uint64 { return uint64(i) })
	clone("big", big, n, func(i int) uint32 { return uint32(i) })
	truth.Map("total", total)
	copyInto(total, large)
	copyInto(total, large)
}

func main() {
	truth.Run(work)
}
