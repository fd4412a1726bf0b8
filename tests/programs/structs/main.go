// Command structs uses keys that are structs, arrays and floats, in plain and in generic functions.
package main

import (
	"encoding/binary"
	"math"
	"strconv"

	"programs/truth"
)

type place struct {
	floor int32
	name  string
}

// pair is plain memory of eight bytes: the compiler takes it for an integer key.
type pair struct {
	x, y uint32
}

type id [16]byte

var (
	places = make(map[place]int)
	pairs  = make(map[pair]int)
	ids    = make(map[id]uint32)
	floats = make(map[float64]int)

	filledPlaces = truth.Function("main.fillPlaces")
	filledPairs  = truth.Function("main.fillPairs")
	filledFloats = truth.Function("main.fillFloats")
	put          = truth.Function("main.fill[...]")
	dropped      = truth.Function("main.drop[...]")
)

func makePlace(i int) place {
	return place{floor: int32(i % 3), name: "room " + strconv.Itoa(i/5)}
}

func makePair(i int) pair {
	return pair{x: uint32(i * 2 / 3), y: uint32(i % 7 / 6)}
}

func makeID(i int) (key id) {
	binary.LittleEndian.PutUint64(key[4:], truth.Scatter(uint64(i)))
	return key
}

//go:noinline
func fillPlaces(n int) {
	for i := 0; i < n; i++ {
		key := makePlace(i)
		_, there := places[key]
		filledPlaces.Assign(there)
		places[key] = i
	}
}

//go:noinline
func fillPairs(n int) {
	for i := 0; i < n; i++ {
		key := makePair(i)
		_, there := pairs[key]
		filledPairs.Assign(there)
		pairs[key]++
	}
}

// fillFloats writes to both zeros, which are one key.
//
//go:noinline
func fillFloats(n int) {
	for i := 0; i < n; i++ {
		key := float64(i/3) / 8
		if i == n/2 {
			key = math.Copysign(0, -1)
		}
		_, there := floats[key]
		filledFloats.Assign(there)
		floats[key] = i
	}
}

//go:noinline
func fill[K comparable, V any](m map[K]V, n int, key func(int) K, value V) {
	for i := 0; i < n; i++ {
		k := key(i)
		_, there := m[k]
		put.Assign(there)
		m[k] = value
	}
}

//go:noinline
func drop[K comparable, V any](m map[K]V, n int, key func(int) K) {
	for i := 0; i < n; i++ {
		k := key(3 * i)
		_, there := m[k]
		dropped.Delete(there)
		delete(m, k)
	}
}

func work(ops int) {
	truth.Map("places", places)
	truth.Map("pairs", pairs)
	truth.Map("ids", ids)
	truth.Map("floats", floats)
	n := ops / 6
	fillPlaces(n)
	fillPairs(n)
	fillFloats(n)
	fill(ids, n, makeID, 7)
	drop(ids, n/2, makeID)
	drop(floats, n/4, func(i int) float64 { return float64(i) / 8 })
	drop(places, n/4, makePlace)
	drop(pairs, n/4, makePair)
}

func main() {
	truth.Run(work)
}
