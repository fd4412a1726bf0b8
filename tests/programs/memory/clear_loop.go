//go:build !go1.21

package main

// There was no clear: the compiler made of this loop what it makes of clear now.
//
//go:noinline
func clearCache() {
	for k := range cache {
		delete(cache, k)
	}
}

func clearMarks() { loopMarks() }
