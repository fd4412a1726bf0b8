// Command busy keeps thousands of goroutines at work on maps of their own while stacks grow and the collector
// runs, and checks all the time that its maps hold what was put into them. It ends when stdin closes, with the
// number of checks on stdout; with status 1 and what was wrong on stderr if one of them failed.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	workers = 2000
	keys    = 40
	deepest = 12
)

var (
	checks atomic.Uint64
	over   atomic.Bool
)

// dig lets the stack grow, and gives it back.
//
//go:noinline
func dig(depth int) int {
	var room [64]int
	room[depth] = depth
	if depth > 0 {
		room[depth] += dig(depth - 1)
	}
	return room[depth]
}

// fill puts squares into a map, takes every third one out again, and says how many are left.
//
//go:noinline
func fill(m map[int]int, texts map[string]int, round int) int {
	for i := 0; i < keys; i++ {
		m[round+i] = (round + i) * (round + i)
		texts[fmt.Sprint("key ", i)] = round
	}
	for i := 0; i < keys; i += 3 {
		delete(m, round+i)
	}
	return keys - (keys+2)/3
}

func check(m map[int]int, texts map[string]int, round, left int) error {
	if len(m) != left || len(texts) != keys {
		return fmt.Errorf("%d and %d entries, not %d and %d", len(m), len(texts), left, keys)
	}
	for key, square := range m {
		if square != key*key || (key-round)%3 == 0 {
			return fmt.Errorf("%d has %d", key, square)
		}
	}
	for key, at := range texts {
		if at != round {
			return fmt.Errorf("%s is of round %d, not %d", key, at, round)
		}
	}
	return nil
}

func work(worker int, done *sync.WaitGroup) {
	defer done.Done()
	texts := make(map[string]int)
	for round := worker; !over.Load(); round++ {
		m := make(map[int]int)
		left := fill(m, texts, round)
		if depth := dig(deepest); depth != deepest*(deepest+1)/2 {
			fail(fmt.Errorf("dug to %d", depth))
		}
		if err := check(m, texts, round, left); err != nil {
			fail(err)
		}
		checks.Add(1)
		time.Sleep(time.Duration(round%20) * time.Millisecond)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "busy:", err)
	os.Exit(1)
}

func main() {
	var done sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		done.Add(1)
		go work(worker, &done)
	}
	go func() {
		for !over.Load() {
			runtime.GC()
			time.Sleep(10 * time.Millisecond)
		}
	}()
	os.Stdin.Read(make([]byte, 1))
	over.Store(true)
	done.Wait()
	fmt.Println(checks.Load())
}
