//go:build go1.21

package main

//go:noinline
func clearCache() { clear(cache) }

//go:noinline
func clearMarks() {
	clear(numbers)
	clear(names)
}
