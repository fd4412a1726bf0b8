// Command nans uses keys that are not equal to themselves: each assignment is an insert, and no delete finds them.
//
// The runtime hashes such a key anew, at random, whenever a growth moves it.
package main

import (
	"math"

	"programs/truth"
)

type point struct {
	x, y float64
}

var (
	few       = make(map[float64]int)
	floats    = make(map[float64]int)
	singles   = make(map[float32]int)
	complexes = make(map[complex128]int)
	values    = make(map[any]int)
	points    = make(map[point]int)
	ordinary  = make(map[float64]int)

	filled  = truth.Function("main.fill[...]")
	dropped = truth.Function("main.drop[...]")
	valued  = truth.Function("main.fillValues")
)

// fill writes n ordinary keys, and NaN after every fourth.
//
//go:noinline
func fill[K comparable](m map[K]int, n int, key func(float64) K) {
	for i := 0; i < n; i++ {
		number := float64(i / 2)
		if i%4 == 3 {
			number = math.NaN()
		}
		_, there := m[key(number)]
		filled.Assign(there)
		m[key(number)]++
	}
}

// fillValues has an interface hide what is NaN.
//
//go:noinline
func fillValues(n int) {
	for i := 0; i < n; i++ {
		var key any = i
		if i%4 == 3 {
			key = math.NaN()
		}
		_, there := values[key]
		valued.Assign(there)
		values[key] = i
	}
}

//go:noinline
func drop[K comparable](m map[K]int, n int, key func(float64) K) {
	for i := 0; i < n; i++ {
		number := float64(i)
		if i%4 == 3 {
			number = math.NaN()
		}
		_, there := m[key(number)]
		dropped.Delete(there)
		delete(m, key(number))
	}
}

func use[K comparable](name string, m map[K]int, n int, key func(float64) K) {
	truth.Map(name, m)
	fill(m, n, key)
	drop(m, n/4, key)
}

func work(ops int) {
	n := ops / 8
	use("few", few, 9, func(f float64) float64 { return f })
	use("floats", floats, n, func(f float64) float64 { return f })
	use("singles", singles, n, func(f float64) float32 { return float32(f) })
	use("complexes", complexes, n, func(f float64) complex128 { return complex(1, f) })
	use("points", points, n, func(f float64) point { return point{1, f} })
	truth.Map("values", values)
	fillValues(n)
	truth.Map("ordinary", ordinary)
	for i := 0; i < n; i++ {
		fill(ordinary, 1, func(float64) float64 { return float64(i) / 2 })
	}
}

func main() {
	truth.Run(work)
}
