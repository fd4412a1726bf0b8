// Command library is built as a C library: whoever loads it and calls Serve has Go's maps in its process.
package main

import "C"

type session struct{ a, b, c uint64 }

var sessions = map[uint64]session{}

//export Serve
func Serve(entries uint64) uint64 {
	for n := uint64(0); n < entries; n++ {
		sessions[n] = session{n, n, n}
	}
	for n := uint64(500); n < entries; n++ {
		delete(sessions, n)
	}
	return uint64(len(sessions))
}

func main() {
	Serve(1 << 17)
}
