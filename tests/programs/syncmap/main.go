// Command syncmap uses sync.Map, which up to Go 1.23 keeps its entries in two of Go's own maps.
package main

import (
	"strconv"
	"sync"

	"programs/truth"
)

var (
	shared sync.Map
	plain  = make(map[string]int)

	noted = truth.Function("main.note")
)

//go:noinline
func note(name string) {
	_, there := plain[name]
	noted.Assign(there)
	plain[name]++
}

func work(ops int) {
	truth.Map("plain", plain)
	n := ops / 2
	for i := 0; i < n; i++ {
		name := strconv.Itoa(i % (n/2 + 1))
		note(name)
		shared.Store(name, i)
		shared.LoadOrStore(i, name)
		if i%3 == 0 {
			shared.Delete(i / 2)
		}
	}
	note("last")
	register(&shared)
}

func main() {
	truth.Run(work)
}
