// Command inlined does its map operations in functions that the compiler inlines into their callers.
package main

import (
	"strconv"

	"programs/truth"
)

type store struct {
	entries map[string]int
}

var (
	entries = store{entries: make(map[string]int)}
	hits    = make(map[uint64]int)

	puts  = truth.Function("main.put")
	drops = truth.Function("main.(*store).drop")
	bumps = truth.Function("main.bump[...]")
	// The callers do nothing themselves: every operation is that of an inlined function.
	_ = truth.Function("main.fill")
	_ = truth.Function("main.(*store).save")
)

func put(m map[string]int, key string, value int) {
	m[key] = value
}

// save is inlined into fill, and put into save.
func (s *store) save(key string, value int) {
	put(s.entries, key, value)
}

func (s *store) drop(key string) {
	delete(s.entries, key)
}

func bump[K comparable](m map[K]int, key K) {
	m[key]++
}

//go:noinline
func fill(n int) {
	for i := 0; i < n; i++ {
		key := strconv.Itoa(i * 7 % (n*3/4 + 1))
		_, there := entries.entries[key]
		puts.Assign(there)
		entries.save(key, i)
		if i%2 == 0 {
			key = strconv.Itoa(i)
			_, there = entries.entries[key]
			drops.Delete(there)
			entries.drop(key)
		}
		number := uint64(i) % 1000
		_, there = hits[number]
		bumps.Assign(there)
		bump(hits, number)
	}
}

func work(ops int) {
	truth.Map("entries", entries.entries)
	truth.Map("hits", hits)
	fill(ops * 2 / 5)
}

func main() {
	truth.Run(work)
}
