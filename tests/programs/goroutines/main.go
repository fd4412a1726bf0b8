// Command goroutines has several goroutines write, each to a map of its own and all to a shared one.
package main

import (
	"sync"

	"programs/truth"
)

const workers = 8

var (
	shared = make(map[uint64]int)
	lock   sync.Mutex

	collected = truth.Function("main.collect")
	published = truth.Function("main.publish")
	withdrawn = truth.Function("main.withdraw")
)

// collect writes to a map that only this goroutine knows.
//
//go:noinline
func collect(own map[uint64]uint64, n uint64) {
	for i := uint64(0); i < n; i++ {
		key := truth.Scatter(i % (n/2 + 1))
		_, there := own[key]
		collected.Assign(there)
		own[key] = i
		if i%3 == 0 {
			key = truth.Scatter(i / 2)
			_, there = own[key]
			collected.Delete(there)
			delete(own, key)
		}
	}
}

//go:noinline
func publish(worker int, key uint64) {
	lock.Lock()
	defer lock.Unlock()
	_, there := shared[key]
	published.Assign(there)
	shared[key] = worker
}

//go:noinline
func withdraw(key uint64) {
	lock.Lock()
	defer lock.Unlock()
	_, there := shared[key]
	withdrawn.Delete(there)
	delete(shared, key)
}

// exchange works on keys that the neighbours work on too.
func exchange(worker int, n uint64) {
	for i := uint64(0); i < n; i++ {
		publish(worker, uint64(worker)*n/2+i)
		if i%2 == 0 {
			withdraw(uint64(worker)*n/2 + i/2)
		}
	}
}

func work(ops int) {
	n := uint64(ops / (3 * workers))
	truth.Map("shared", shared)
	var done sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		own := make(map[uint64]uint64)
		truth.Map("own", own)
		done.Add(1)
		go func(worker int) {
			defer done.Done()
			collect(own, n)
			exchange(worker, n)
		}(worker)
	}
	done.Wait()
}

func main() {
	truth.Run(work)
}
