//go:build !go1.21

package main

// emptyByClear does without the builtin, which came with Go 1.21.
//
//go:noinline
func emptyByClear() {
	clearedCount.Clear(len(cleared))
	for key := range cleared {
		delete(cleared, key)
	}
	clearedCount.Clear(len(cleared))
	for key := range cleared {
		delete(cleared, key)
	}
}
