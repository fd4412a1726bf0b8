// Allocate for ever, and print after each round the CPU time of one object, with the work of the collector [ns].
package main

import (
	"flag"
	"fmt"
	"syscall"
	"unsafe"
)

const (
	depth     = 14
	large     = 64 << 10
	perRound  = 2000
	remaining = 256
)

const processClock = 2 // CLOCK_PROCESS_CPUTIME_ID

// Return the CPU time of this process: other processes don't count, the collector's threads do.
func cpuTime() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processClock, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

type node struct{ left, right *node }

//go:noinline
func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{tree(depth - 1), tree(depth - 1)}
}

func main() {
	isLarge := flag.Bool("large", false, "objects that have a span of their own, instead of trees of small ones")
	flag.Parse()
	var trees [16]*node
	var pieces [remaining][]byte
	for round := 0; ; round++ {
		begin, count := cpuTime(), 0
		if *isLarge {
			for i := 0; i < perRound; i++ {
				piece := make([]byte, large)
				for j := 0; j < large; j += 4096 {
					piece[j] = 1
				}
				pieces[i%remaining] = piece
			}
			count = perRound
		} else {
			trees[round%len(trees)] = tree(depth)
			count = 2<<depth - 1
		}
		fmt.Printf("%.3f\n", float64(cpuTime()-begin)/float64(count))
	}
}
