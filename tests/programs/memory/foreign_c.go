//go:build cgo

package main

// #include <stdlib.h>
// #include <string.h>
import "C"

// foreign takes memory from C and writes to all of it.
func foreign(mib int) {
	for i := 0; i < mib; i++ {
		piece := C.malloc(1 << 20)
		C.memset(piece, 1, 1<<20)
	}
}
