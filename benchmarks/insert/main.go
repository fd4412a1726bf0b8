// Insert into maps for ever, and print after each round the CPU time of one insert [ns].
package main

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const perRound = 20000

const threadClock = 3 // CLOCK_THREAD_CPUTIME_ID

// Return the CPU time of this thread: other load does not count.
func cpuTime() time.Duration {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&now)), 0)
	return time.Duration(now.Nano())
}

//go:noinline
func fill(m map[uint64]uint64, from uint64) {
	for i := from; i < from+perRound; i++ {
		m[i] = i
	}
}

//go:noinline
func drain(m map[uint64]uint64) {
	for i := uint64(0); i < perRound; i++ {
		delete(m, i)
	}
}

// Fill a map of its own in each round, or the same one again after it was drained; with a rate, wait until the next round is due.
func insert(rounds int, rate float64, lived bool, took chan<- time.Duration) {
	runtime.LockOSThread()
	due := time.Now()
	m := make(map[uint64]uint64)
	for round := 0; round < rounds; round++ {
		from := uint64(round) * perRound
		if lived {
			from = 0
		} else {
			m = make(map[uint64]uint64)
		}
		begin := cpuTime()
		fill(m, from)
		if lived {
			drain(m)
		}
		took <- cpuTime() - begin
		if rate > 0 {
			due = due.Add(time.Duration(perRound / rate * 1e9))
			time.Sleep(time.Until(due))
		}
	}
	took <- 0
}

func main() {
	rounds := flag.Int("rounds", 1<<62, "rounds of each thread")
	threads := flag.Int("threads", 1, "how many do it at a time")
	rate := flag.Float64("rate", 0, "inserts a second of each; 0: as fast as it can")
	lived := flag.Bool("lived", false, "fill and drain one map, instead of filling new ones")
	flag.Parse()
	took := make(chan time.Duration)
	for i := 0; i < *threads; i++ {
		go insert(*rounds, *rate, *lived, took)
	}
	for left := *threads; left > 0; {
		if d := <-took; d > 0 {
			fmt.Printf("%.1f\n", float64(d.Nanoseconds())/perRound)
		} else {
			left--
		}
	}
}
