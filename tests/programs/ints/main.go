// Command ints uses the three maps that the runtime treats by key size: 4 bytes, 8 bytes, and pointers.
package main

import "programs/truth"

type node struct {
	id uint64
}

var (
	wide     = make(map[uint64]uint64)
	narrow   = make(map[int32]bool)
	pointers = make(map[*node]int)
	nodes    []*node

	filledWide      = truth.Function("main.fillWide")
	droppedWide     = truth.Function("main.dropWide")
	filledNarrow    = truth.Function("main.fillNarrow")
	droppedNarrow   = truth.Function("main.dropNarrow")
	filledPointers  = truth.Function("main.fillPointers")
	droppedPointers = truth.Function("main.dropPointers")
)

//go:noinline
func fillWide(from, to uint64) {
	for i := from; i < to; i++ {
		key := truth.Scatter(i)
		_, there := wide[key]
		filledWide.Assign(there)
		wide[key] = i
	}
}

//go:noinline
func dropWide(from, to uint64) {
	for i := from; i < to; i++ {
		key := truth.Scatter(i)
		_, there := wide[key]
		droppedWide.Delete(there)
		delete(wide, key)
	}
}

//go:noinline
func fillNarrow(from, to int32) {
	for i := from; i < to; i++ {
		_, there := narrow[i]
		filledNarrow.Assign(there)
		narrow[i] = i%2 == 0
	}
}

//go:noinline
func dropNarrow(from, to int32) {
	for i := from; i < to; i++ {
		_, there := narrow[i]
		droppedNarrow.Delete(there)
		delete(narrow, i)
	}
}

//go:noinline
func fillPointers(keys []*node) {
	for i, key := range keys {
		_, there := pointers[key]
		filledPointers.Assign(there)
		pointers[key] += i
	}
}

//go:noinline
func dropPointers(keys []*node) {
	for _, key := range keys {
		_, there := pointers[key]
		droppedPointers.Delete(there)
		delete(pointers, key)
	}
}

// work leaves gaps in each map, and fills, updates and deletes around them again.
func work(ops int) {
	truth.Map("wide", wide)
	truth.Map("narrow", narrow)
	truth.Map("pointers", pointers)
	n := ops / 9
	for i := 0; i < 2*n; i++ {
		nodes = append(nodes, &node{id: uint64(i)})
	}
	fillWide(0, uint64(n))
	fillNarrow(-int32(n)/2, int32(n)/2)
	fillPointers(nodes[:n])
	dropWide(uint64(n)/4, uint64(n)*5/4)
	dropNarrow(-int32(n)/4, int32(n)*3/4)
	dropPointers(nodes[n/4 : n*5/4])
	fillWide(uint64(n)/8, uint64(n)*9/8)
	fillNarrow(-int32(n)*3/8, int32(n)*5/8)
	fillPointers(nodes[n/8 : n*9/8])
}

func main() {
	truth.Run(work)
}
