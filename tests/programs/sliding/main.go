// Command sliding keeps windows of constant size moving: each insert is followed by the delete of the oldest.
package main

import (
	"strconv"

	"programs/truth"
)

// stamp is a key for the runtime's general functions, which never prune tombstones.
type stamp struct {
	hi, lo uint64
}

var (
	numbers = make(map[uint64]uint64)
	stamps  = make(map[stamp]uint64)
	texts   = make(map[string]*stamp)

	slidNumbers = truth.Function("main.slideNumbers")
	slidStamps  = truth.Function("main.slideStamps")
	slidTexts   = truth.Function("main.slideTexts")
)

//go:noinline
func slideNumbers(n, window uint64) {
	for i := uint64(0); i < n; i++ {
		_, there := numbers[i]
		slidNumbers.Assign(there)
		numbers[i] = i
		_, there = numbers[i-window]
		slidNumbers.Delete(there)
		delete(numbers, i-window)
	}
}

//go:noinline
func slideStamps(n, window uint64) {
	for i := uint64(0); i < n; i++ {
		first, last := stamp{lo: i}, stamp{lo: i - window}
		_, there := stamps[first]
		slidStamps.Assign(there)
		stamps[first] = i
		_, there = stamps[last]
		slidStamps.Delete(there)
		delete(stamps, last)
	}
}

//go:noinline
func slideTexts(n, window uint64) {
	for i := uint64(0); i < n; i++ {
		first, last := strconv.FormatUint(i, 36), strconv.FormatUint(i-window, 36)
		_, there := texts[first]
		slidTexts.Assign(there)
		texts[first] = &stamp{lo: i}
		_, there = texts[last]
		slidTexts.Delete(there)
		delete(texts, last)
	}
}

func work(ops int) {
	truth.Map("numbers", numbers)
	truth.Map("stamps", stamps)
	truth.Map("texts", texts)
	n := uint64(ops / 6)
	window := n/4 + 8
	if window > 1000 {
		window = 1000
	}
	slideNumbers(n, window)
	slideStamps(n, window)
	slideTexts(n, window)
}

func main() {
	truth.Run(work)
}
