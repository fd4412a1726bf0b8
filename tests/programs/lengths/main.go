// Command lengths uses keys of every length that the hash function treats in its own way, and structs with
// fields of all sorts, some between padding, some blank.
package main

import (
	"strings"

	"programs/truth"
)

type (
	padded struct {
		small byte
		large int64
		name  string
		_     int32
		a, b  uint16
		c     uint32
	}
	nested struct {
		key   padded
		value interface{}
		again [2]string
	}
	seven  [7]byte
	twelve struct{ a, b, c uint32 }
	many   [200]byte
)

var (
	texts   = make(map[string]int)
	paddeds = make(map[padded]int)
	nesteds = make(map[nested]int)
	sevens  = make(map[seven]bool)
	twelves = make(map[twelve]bool)
	manies  = make(map[many]bool)
	anies   = make(map[interface{}]int)
	empties = make(map[struct{}]int)

	filled = truth.Function("main.fill[...]")
	inner  = truth.Function("main.fillNested")
	others = truth.Function("main.fillAny")
)

//go:noinline
func fill[K comparable, V any](m map[K]V, keys ...K) {
	var value V
	for _, key := range keys {
		_, there := m[key]
		filled.Assign(there)
		m[key] = value
	}
}

//go:noinline
func fillNested(key nested) {
	_, there := nesteds[key]
	inner.Assign(there)
	nesteds[key] = 1
}

//go:noinline
func fillAny(keys ...interface{}) {
	for i, key := range keys {
		_, there := anies[key]
		others.Assign(there)
		anies[key] = i
	}
}

func makePadded(i int) padded {
	return padded{small: byte(i), large: int64(i), name: strings.Repeat("x", i%70), a: 3, b: uint16(i), c: 9}
}

func work(ops int) {
	truth.Map("texts", texts)
	truth.Map("paddeds", paddeds)
	truth.Map("nesteds", nesteds)
	truth.Map("sevens", sevens)
	truth.Map("twelves", twelves)
	truth.Map("manies", manies)
	truth.Map("anies", anies)
	truth.Map("empties", empties)
	for i := 0; i < ops/8; i++ {
		fill(texts, strings.Repeat("k", i*3%1000))
		fill(paddeds, makePadded(i))
		fillNested(nested{makePadded(i), i, [2]string{"a", strings.Repeat("b", i%200)}})
		fill(sevens, seven{byte(i), 1})
		fill(twelves, twelve{uint32(i), 2, 3})
		fill(manies, many{byte(i), 1, 199: byte(i)})
		fill(empties, struct{}{})
	}
	held := &texts
	fillAny(1, int8(1), "s", 2.5, float32(0), makePadded(3), [1]*map[string]int{held}, held,
		[2]int{1, 2}, nested{key: makePadded(4)}, complex(1, 2), true, struct{}{}, twelve{1, 2, 3}, [3]string{"q"}, 'r', nil)
}

func main() {
	truth.Run(work)
}
