// Command left lets a map grow while no collection runs: each growth leaves an array of buckets behind that no map
// owns. It goes one step on with each line of stdin: nothing is there, the map has grown, what is left was collected.
// With the argument "sampled" the map has no pointers, and the memory profile samples every allocation.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
)

const entries = 20_000

var (
	pointers = map[string]*int{}
	numbers  = map[int64]int64{}
)

//go:noinline
func grow(sampled bool) {
	value := new(int)
	for i := 0; i < entries; i++ {
		if sampled {
			numbers[int64(i)] = int64(i)
		} else {
			pointers[strconv.Itoa(i)] = value
		}
	}
}

func main() {
	debug.SetGCPercent(-1)
	sampled := len(os.Args) > 1 && os.Args[1] == "sampled"
	if sampled {
		runtime.MemProfileRate = 1
	} else {
		runtime.MemProfileRate = 0
	}
	lines := bufio.NewScanner(os.Stdin)
	steps := []func(){runtime.GC, func() { grow(sampled) }, runtime.GC}
	for _, step := range steps {
		step()
		fmt.Println("done")
		lines.Scan()
	}
	runtime.KeepAlive(pointers)
	runtime.KeepAlive(numbers)
	runtime.MemProfile(nil, true)
}
