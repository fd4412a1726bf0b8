//go:build go1.21

package main

// emptyByClear clears twice: there is nothing left to do for the second.
//
//go:noinline
func emptyByClear() {
	clearedCount.Clear(len(cleared))
	clear(cleared)
	clearedCount.Clear(len(cleared))
	clear(cleared)
}
