// Command empty_elems uses elements, and keys, that take no room.
package main

import (
	"strconv"

	"programs/truth"
)

type nothing struct{}

var (
	names   = make(map[string]struct{})
	numbers = make(map[int32]nothing)
	arrays  = make(map[uint64][0]int)
	places  = make(map[[3]int16]struct{})
	lone    = make(map[struct{}]int)
	nobody  = make(map[nothing]struct{})

	filled  = truth.Function("main.fill")
	dropped = truth.Function("main.drop")
)

//go:noinline
func fill(n int) {
	for i := 0; i < n; i++ {
		name, number := strconv.Itoa(i%(n/2+1)), int32(i)
		_, there := names[name]
		filled.Assign(there)
		names[name] = struct{}{}

		_, there = numbers[number]
		filled.Assign(there)
		numbers[number] = nothing{}

		_, there = arrays[uint64(i/2)]
		filled.Assign(there)
		arrays[uint64(i/2)] = [0]int{}

		place := [3]int16{int16(i), int16(i >> 15)}
		_, there = places[place]
		filled.Assign(there)
		places[place] = struct{}{}
	}
	_, there := lone[struct{}{}]
	filled.Assign(there)
	lone[struct{}{}]++
	_, there = nobody[nothing{}]
	filled.Assign(there)
	nobody[nothing{}] = struct{}{}
}

//go:noinline
func drop(n int) {
	for i := 0; i < n; i += 3 {
		_, there := names[strconv.Itoa(i)]
		dropped.Delete(there)
		delete(names, strconv.Itoa(i))

		_, there = numbers[int32(i)]
		dropped.Delete(there)
		delete(numbers, int32(i))
	}
	_, there := lone[struct{}{}]
	dropped.Delete(there)
	delete(lone, struct{}{})
}

func work(ops int) {
	truth.Map("names", names)
	truth.Map("numbers", numbers)
	truth.Map("arrays", arrays)
	truth.Map("places", places)
	truth.Map("lone", lone)
	truth.Map("nobody", nobody)
	n := ops / 6
	fill(n)
	drop(n)
	fill(n / 4)
}

func main() {
	truth.Run(work)
}
