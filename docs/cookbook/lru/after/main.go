// A least-recently-used index of fixed length: rebuilt after its keys were replaced four times.
package main

import (
	"fmt"
	"runtime"
)

const length = 10_000

type index struct {
	places map[uint64]int
	order  []uint64 // a ring, the oldest key at next
	next   int

	evicted int // since the map was made
}

//go:noinline
func (x *index) add(key uint64, place int) {
	x.places[key] = place
}

//go:noinline
func (x *index) evict(key uint64) {
	delete(x.places, key)
	x.evicted++
	if x.evicted == 4*length {
		x.rebuild()
	}
}

// rebuild moves the keys to a fresh map: overflow buckets never go away by themselves.
//
//go:noinline
func (x *index) rebuild() {
	fresh := make(map[uint64]int, length)
	for key, place := range x.places {
		fresh[key] = place
	}
	x.places, x.evicted = fresh, 0
}

var x = &index{places: make(map[uint64]int, length), order: make([]uint64, length)}

func main() {
	for n := 0; n < 100_000; n++ {
		key := uint64(n) * 0x9e3779b97f4a7c15
		if n >= length {
			x.evict(x.order[x.next])
		}
		x.add(key, n)
		x.order[x.next] = key
		x.next = (x.next + 1) % length
	}
	runtime.GC() // a running service has a collection sooner or later
	fmt.Println(len(x.places), "keys")
}
