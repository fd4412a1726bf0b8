// Command linkname writes maps through functions of the runtime that no compiler for amd64 calls.
package main

import (
	"unsafe"

	"programs/truth"
)

// firstKey is no address that anything could stand at, and larger than what the runtime takes for a bad pointer.
const firstKey = 0x10000

var (
	addresses = make(map[uint32]uint64)
	resumed   = make(map[uint32]uint64)

	written = truth.Function("main.assign")
	resume  = truth.Function("main.assignPlainly")
)

//go:linkname mapassign_fast32ptr runtime.mapassign_fast32ptr
func mapassign_fast32ptr(typ, header, key unsafe.Pointer) unsafe.Pointer

// assign inserts a key in the way that compilers for 32 bits do, as a pointer: it is compared as one too, and so never
// found again where pointers are larger.
//
//go:noinline
func assign(m map[uint32]uint64, key uint32) {
	var value any = m
	words := *(*[2]unsafe.Pointer)(unsafe.Pointer(&value))
	_, there := m[key]
	written.Assign(there)
	number := uintptr(key)
	elem := mapassign_fast32ptr(words[0], words[1], *(*unsafe.Pointer)(unsafe.Pointer(&number)))
	*(*uint64)(elem) = uint64(key)
}

//go:noinline
func assignPlainly(m map[uint32]uint64, key uint32) {
	_, there := m[key]
	resume.Assign(there)
	m[key]++
}

func work(ops int) {
	truth.Map("addresses", addresses)
	truth.Map("resumed", resumed)
	n := ops / 4
	for i := 0; i < n; i++ {
		assign(addresses, firstKey+uint32(i))
		assignPlainly(addresses, firstKey+uint32(i/2))
		assign(resumed, firstKey+uint32(i))
		assignPlainly(resumed, firstKey+uint32(i/3))
	}
}

func main() {
	truth.Run(work)
}
