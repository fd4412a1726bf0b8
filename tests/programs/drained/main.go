// Command drained fills a map with 2^21 sessions, ends all but 500 of them, says so, and goes on: one session
// begins and ends between two pauses, whose length is its argument (0s: there is none). It never ends by itself.
package main

import (
	"fmt"
	"os"
	"time"
)

const (
	most = 1 << 21
	left = 500
)

type session struct{ user, began, seen uint64 }

var sessions = map[uint64]session{}

//go:noinline
func login(n uint64) { sessions[n] = session{n, n, n} }

//go:noinline
func logout(n uint64) { delete(sessions, n) }

func main() {
	pause, err := time.ParseDuration(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "drained:", err)
		os.Exit(2)
	}
	for n := uint64(0); n < most; n++ {
		login(n)
	}
	for n := uint64(left); n < most; n++ {
		logout(n)
	}
	fmt.Println("ready")
	for n := uint64(most); ; n++ {
		login(n)
		logout(n)
		if pause > 0 {
			time.Sleep(pause)
		}
	}
}
