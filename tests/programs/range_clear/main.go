// Command range_clear empties maps in each way there is, and fills them again.
package main

import (
	"strconv"

	"programs/truth"
)

var (
	ranged  = make(map[uint64]uint64)
	floats  = make(map[float64]uint64)
	cleared = make(map[string]uint64)
	drained = make(map[uint32]uint64)

	rangedCount  = truth.Function("main.emptyByRange")
	floatsCount  = truth.Function("main.emptyFloats")
	clearedCount = truth.Function("main.emptyByClear")
	drainedCount = truth.Function("main.emptyByDelete")
	filledCount  = truth.Function("main.fill")
)

// emptyByRange is the loop that the compiler turns into a clear.
//
//go:noinline
func emptyByRange() {
	rangedCount.Clear(len(ranged))
	for key := range ranged {
		delete(ranged, key)
	}
}

// emptyFloats stays a loop of deletes, as a float key may be unequal to itself.
//
//go:noinline
func emptyFloats() {
	floatsCount.Deletes(len(floats))
	for key := range floats {
		delete(floats, key)
	}
}

//go:noinline
func emptyByDelete(n int) {
	for i := 0; i < n; i++ {
		key := uint32(n - i - 1)
		_, there := drained[key]
		drainedCount.Delete(there)
		delete(drained, key)
	}
}

//go:noinline
func fill(n int) {
	for i := 0; i < n; i++ {
		number := uint64(i)
		_, there := ranged[number]
		filledCount.Assign(there)
		ranged[number] = number

		_, there = floats[float64(i)/2]
		filledCount.Assign(there)
		floats[float64(i)/2] = number

		text := strconv.Itoa(i)
		_, there = cleared[text]
		filledCount.Assign(there)
		cleared[text] = number

		_, there = drained[uint32(i)]
		filledCount.Assign(there)
		drained[uint32(i)] = number
	}
}

// work empties at many sizes, in the midst of a growth too, and ends on a partial fill.
func work(ops int) {
	truth.Map("ranged", ranged)
	truth.Map("floats", floats)
	truth.Map("cleared", cleared)
	truth.Map("drained", drained)
	emptyByClear()
	size := ops / 40
	if size > 500 {
		size = 500
	}
	if size < 20 {
		size = 20
	}
	for round, done := 0, 0; done < ops; round++ {
		n := size/2 + round*37%size
		fill(n)
		emptyByRange()
		emptyFloats()
		emptyByClear()
		emptyByDelete(n)
		done += 6 * n
	}
	fill(size / 3)
}

func main() {
	truth.Run(work)
}
