// Insert into a map for ever, and print how long one insert takes, round by round [ns].
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"
)

const perRound = 20000

//go:noinline
func fill(m map[uint64]uint64, from uint64) {
	for i := from; i < from+perRound; i++ {
		m[i] = i
	}
}

func main() {
	rounds := 1 << 62
	if len(os.Args) > 1 {
		rounds, _ = strconv.Atoi(os.Args[1])
	}
	out := bufio.NewWriter(os.Stdout)
	for round := 0; round < rounds; round++ {
		m := make(map[uint64]uint64)
		begin := time.Now()
		fill(m, uint64(round)*perRound)
		fmt.Fprintf(out, "%.1f\n", float64(time.Since(begin).Nanoseconds())/perRound)
		out.Flush()
	}
}
