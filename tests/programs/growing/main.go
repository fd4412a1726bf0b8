// Command growing fills maps as far as it is told, so that they stand still while they grow: each line of its input
// names a map and how many entries it gets.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

var (
	pointers = map[uint64]*uint64{}
	plain    = map[uint64]uint64{}
	iterated = map[uint64]*uint64{}
)

//go:noinline
func fillPointers(n uint64) {
	for k := uint64(0); k < n; k++ {
		pointers[k] = nil
	}
}

//go:noinline
func fillPlain(n uint64) {
	for k := uint64(0); k < n; k++ {
		plain[k] = k
	}
}

// fillIterated lets an iterator begin before the map grows for the last time: it may need the old buckets.
//
//go:noinline
func fillIterated(n uint64) {
	for k := uint64(0); k < n*3/4; k++ {
		iterated[k] = nil
	}
	for range iterated {
		for k := uint64(len(iterated)); k < n; k++ {
			iterated[k] = nil
		}
		break
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		n, _ := strconv.ParseUint(words[1], 10, 64)
		switch words[0] {
		case "pointers":
			fillPointers(n)
		case "plain":
			fillPlain(n)
		case "iterated":
			fillIterated(n)
		}
		fmt.Printf("%s: %d\n", lines.Text(), n)
	}
}
