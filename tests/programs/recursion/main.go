// Command recursion keeps a map in each frame of a deep recursion, in several goroutines: their stacks are moved while
// the maps live, and then all frames return.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
)

const (
	goroutines = 8
	pause      = 10
	base       = 1 << 20
)

//go:noinline
func deep(depth, entries int, parent map[int]int, sum *int) {
	m := make(map[int]int) // does not escape
	var room [64]int
	room[depth%64] = depth
	for i := 0; i < entries; i++ {
		m[i+depth] = i
	}
	if depth > 0 {
		deep(depth-1, entries, m, sum) // the stack grows here, and m moves
	}
	for i := 0; i < entries/2; i++ {
		delete(m, i+depth)
	}
	if parent != nil {
		parent[base+depth] = depth
		delete(parent, base+depth-1)
	}
	for k := range m {
		*sum += k
	}
	*sum += room[depth%64]
}

func main() {
	rounds := flag.Int("rounds", 20, "how often each goroutine goes down")
	flag.Parse()
	var all sync.WaitGroup
	var lock sync.Mutex
	results := make(map[int]int)
	for g := 0; g < goroutines; g++ {
		g := g
		all.Add(1)
		go func() {
			defer all.Done()
			for r := 0; r < *rounds; r++ {
				sum := 0
				deep(10+r*37%400, 1+r%30, nil, &sum)
				lock.Lock()
				results[g*base+r] = sum
				lock.Unlock()
				if r%pause == 0 {
					runtime.GC()
				}
			}
		}()
	}
	all.Wait()
	runtime.GC()
	fmt.Println(len(results))
}
