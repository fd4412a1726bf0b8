// Command stacks keeps maps on goroutines' stacks, which the runtime moves as they grow.
package main

import (
	"runtime"
	"runtime/debug"
	"sync"

	"programs/truth"
)

const (
	workers   = 3
	frameSize = 1 << 10
	deepest   = 24
)

var (
	sum  uint64
	lock sync.Mutex
	over = make(chan struct{})
	// still is closed when no stack will move any more.
	still = make(chan struct{})

	filled  = truth.Function("main.fill")
	dropped = truth.Function("main.drop")
)

// fill assigns to a map that stands in a frame above.
//
//go:noinline
func fill(m map[uint32]uint64, from, to uint32) {
	for i := from; i < to; i++ {
		_, there := m[i]
		filled.Assign(there)
		m[i] = uint64(i)
	}
}

//go:noinline
func drop(m map[uint32]uint64, from, to uint32) {
	for i := from; i < to; i++ {
		_, there := m[i]
		dropped.Delete(there)
		delete(m, i)
	}
}

// dig lets the stack grow.
//
//go:noinline
func dig(depth int) uint64 {
	var room [frameSize]uint64
	for i := range room {
		room[i] = uint64(depth + i)
	}
	if depth > 0 {
		room[0] += dig(depth - 1)
	}
	return room[0]
}

// keep lets three maps live in its frame while the stack under it moves, one of them emptied before.
func keep(n uint32, ready, told *sync.WaitGroup) {
	small, large, emptied := make(map[uint32]uint64), make(map[uint32]uint64), make(map[uint32]uint64, 4)
	fill(small, 0, 5)
	fill(emptied, 0, 7)
	drop(emptied, 0, 7)
	moved := dig(1)
	fill(emptied, 7, 10)
	for i := uint32(0); i < 4; i++ {
		fill(large, i*n/4, (i+1)*n/4)
		drop(large, i*n/4, i*n/4+n/8)
		moved += dig(1 << i)
		drop(small, i, i+1)
		fill(small, 2*i, 2*i+2)
	}
	moved += dig(deepest)
	drop(small, 6, 7)
	drop(large, n/2, n/2+1)
	drop(emptied, 7, 8)
	ready.Done()
	<-still
	// an event of each, which says where it stands now
	fill(small, 5, 6)
	fill(large, n, n+1)
	fill(emptied, 20, 21)
	lock.Lock()
	sum += moved
	truth.Local("small", "map[uint32]uint64", small)
	truth.Local("large", "map[uint32]uint64", large)
	truth.Local("emptied", "map[uint32]uint64", emptied)
	lock.Unlock()
	told.Done()
	<-over
	sum += uint64(len(small) + len(large) + len(emptied)) // until then they live
}

func work(ops int) {
	var ready, told sync.WaitGroup
	ready.Add(workers)
	told.Add(workers)
	for i := 0; i < workers; i++ {
		go keep(uint32(ops*3/4/workers), &ready, &told)
	}
	ready.Wait()
	runtime.GC() // halves stacks that are hardly used, and moves them
	debug.SetGCPercent(-1)
	close(still)
	told.Wait()
}

func main() {
	truth.Run(work)
}
