// Command requests serves each request in a goroutine of its own, which keeps a map in its frame, and prints how many
// bytes its heap has when all are served.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
)

const (
	entries = 100
	deleted = 95
)

var total int

//go:noinline
func handle(request int) int {
	seen := make(map[int]int) // does not escape
	for i := 0; i < entries; i++ {
		seen[i] = request
	}
	for i := 0; i < deleted; i++ {
		delete(seen, i)
	}
	return len(seen)
}

// serve handles some requests one after the other, as the goroutine of a connection does.
//
//go:noinline
func serve(requests int, served map[int]int) {
	for i := 0; i < requests; i++ {
		total += handle(i)
	}
	served[requests]++
}

func main() {
	count := flag.Int("requests", 300, "how many")
	each := flag.Int("each", 1, "how many of them a goroutine handles before it writes to a map that all share")
	flag.Parse()
	served := make(map[int]int)
	for i := 0; i < *count; i += *each {
		var done sync.WaitGroup
		done.Add(1)
		go func() {
			defer done.Done()
			serve(*each, served)
		}()
		done.Wait()
	}
	for i := 0; i < 3; i++ {
		runtime.GC()
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Println(total, served[*each], memory.HeapAlloc)
}
