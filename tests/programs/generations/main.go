// Command generations makes maps and lets go of them, so that later maps stand at the addresses of earlier ones.
package main

import (
	"runtime"

	"programs/truth"
)

const (
	// kept is how many maps live at one time.
	kept = 16
	// collections is how often the collector frees what was let go of.
	collections = 20
)

var (
	recent [kept]map[uint64]*[2]uint64

	filled  = truth.Function("main.fill")
	thinned = truth.Function("main.thin")
)

//go:noinline
func fill(m map[uint64]*[2]uint64, n uint64) {
	for i := uint64(0); i < n; i++ {
		_, there := m[i%40]
		filled.Assign(there)
		m[i%40] = &[2]uint64{i}
	}
}

//go:noinline
func thin(m map[uint64]*[2]uint64, n uint64) {
	for i := uint64(0); i < n; i += 2 {
		_, there := m[i]
		thinned.Delete(there)
		delete(m, i)
	}
}

func work(ops int) {
	for round, done := 0, uint64(0); done < uint64(ops); round++ {
		m := make(map[uint64]*[2]uint64)
		recent[round%kept] = m
		n := 1 + truth.Scatter(uint64(round))%60
		fill(m, n)
		thin(m, n/2)
		done += n + n/4
		if round%(ops/(40*collections)+1) == 0 {
			runtime.GC()
		}
	}
	for _, m := range recent {
		if m != nil {
			truth.Map("recent", m)
		}
	}
}

func main() {
	truth.Run(work)
}
