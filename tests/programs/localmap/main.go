// Command localmap keeps maps in the frames of goroutines, as a line of stdin tells it, and answers each line.
//
// No map of it escapes: each header stands on a goroutine's stack. Types tell
// the maps of one command from those of another.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

type (
	sizeable [4]uint64
	left     [3]uint64
	held     [5]uint64
	deepest  [2]uint64
)

var (
	ready sync.WaitGroup
	gone  sync.WaitGroup
	gate  chan struct{}
	total int
	lock  sync.Mutex
)

func add(n int) {
	lock.Lock()
	total += n
	lock.Unlock()
}

// park waits in a frame of its own.
//
//go:noinline
func park() {
	ready.Done()
	<-gate
}

// both parks with two maps in its frame: few entries in one, many in the other.
//
//go:noinline
func both(entries int) {
	few, many := make(map[string]sizeable), make(map[uint64]sizeable)
	few["one"], few["two"] = sizeable{}, sizeable{}
	delete(few, "one")
	for k := 0; k < entries; k++ {
		many[uint64(k)] = sizeable{}
	}
	for k := 10; k < entries; k++ {
		delete(many, uint64(k))
	}
	park()
	add(len(few) + len(many))
}

// past parks in the frame of a map that is not used any more.
//
//go:noinline
func past(entries int) {
	m := make(map[uint64]left)
	for k := 0; k < entries; k++ {
		m[uint64(k)] = left{}
	}
	add(len(m))
	park()
	add(1)
}

// later keeps a map for a deferred function: only that one's variables refer to it.
//
//go:noinline
func later(entries int) {
	m := make(map[uint64]held)
	defer func() { add(len(m)) }()
	for k := 0; k < entries; k++ {
		m[uint64(k)] = held{}
	}
	park()
}

// deep parks below a map in each of its frames.
//
//go:noinline
func deep(depth, entries int, parent map[uint64]deepest) {
	m := make(map[uint64]deepest)
	for k := 0; k < entries; k++ {
		m[uint64(k)] = deepest{uint64(depth)}
	}
	if depth > 1 {
		deep(depth-1, entries, m)
	} else {
		park()
	}
	for k := range parent {
		delete(m, k)
	}
	add(len(m))
}

// handle is what a goroutine does for a request.
//
//go:noinline
func handle(i int) int {
	seen := make(map[int]int)
	for j := 0; j < 100; j++ {
		seen[j] = i
	}
	for j := 0; j < 95; j++ {
		delete(seen, j)
	}
	return len(seen)
}

func requests(n int) {
	for i := 0; i < n; i++ {
		var one sync.WaitGroup
		one.Add(1)
		go func() {
			defer one.Done()
			add(handle(i))
		}()
		one.Wait()
	}
}

func start(goroutines int, what func()) {
	for n := 0; n < goroutines; n++ {
		ready.Add(1)
		gone.Add(1)
		go func() {
			defer gone.Done()
			what()
		}()
	}
	ready.Wait()
}

func release() {
	close(gate)
	gone.Wait()
	gate = make(chan struct{})
}

func obey(words []string) {
	numbers := make([]int, 3)
	for n, word := range words[1:] {
		numbers[n], _ = strconv.Atoi(word)
	}
	goroutines, entries, depth := numbers[0], numbers[1], numbers[2]
	switch words[0] {
	case "both":
		start(goroutines, func() { both(entries) })
	case "past":
		start(goroutines, func() { past(entries) })
	case "later":
		start(goroutines, func() { later(entries) })
	case "deep":
		start(goroutines, func() { deep(depth, entries, nil) })
	case "requests":
		requests(goroutines)
	case "release":
		release()
	case "gc":
		runtime.GC()
	}
}

func main() {
	gate = make(chan struct{})
	cache := make(map[int][128]uint8)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "fill":
			n, _ := strconv.Atoi(words[1])
			for k := 0; k < n; k++ {
				cache[k] = [128]uint8{}
			}
		case "drain":
			for k := range cache {
				delete(cache, k)
			}
		default:
			obey(words)
		}
		fmt.Printf("%s: %d\n", lines.Text(), len(cache))
	}
}
