package main

import (
	"fmt"
	"unsafe"
)

const (
	keyMark, elemMark = 0xfeed << 48, 0xcafe << 48
	nameBytes         = 1009
)

// What is put in these maps is found again in the memory of their buckets.
var (
	numbers map[uint64]uint64
	names   map[string]*uint64
	text    string
	cells   []uint64
)

//go:noinline
func mark(n int) {
	bytes := make([]byte, 16*n+nameBytes)
	for i := range bytes {
		bytes[i] = byte(i / 16 >> (8 * (i % 3)))
	}
	text, cells = string(bytes), make([]uint64, n)
	numbers, names = make(map[uint64]uint64, n), make(map[string]*uint64, n)
	for i := 0; i < n; i++ {
		numbers[keyMark|uint64(i)] = elemMark | uint64(i)
		names[text[16*i:16*i+nameBytes]] = &cells[i]
	}
}

// unmark deletes one key after another, but for so many.
//
//go:noinline
func unmark(keep int) {
	for i := len(cells) - 1; i >= keep; i-- {
		delete(numbers, keyMark|uint64(i))
		delete(names, text[16*i:16*i+nameBytes])
	}
}

// loopMarks is what programs did before there was clear.
//
//go:noinline
func loopMarks() {
	for k := range numbers {
		delete(numbers, k)
	}
	for k := range names {
		delete(names, k)
	}
}

// marks returns how many keys and elements of numbers, and pointers and lengths of keys and elements of names, stand
// in their buckets.
func marks() string {
	keys, elems := 0, 0
	for _, word := range wordsOf(*(*unsafe.Pointer)(unsafe.Pointer(&numbers)), 16) {
		switch word >> 48 << 48 {
		case keyMark:
			keys++
		case elemMark:
			elems++
		}
	}
	first := uint64(uintptr(*(*unsafe.Pointer)(unsafe.Pointer(&text))))
	cell := uint64(uintptr(unsafe.Pointer(&cells[0])))
	pointers, lengths, to := 0, 0, 0
	for _, word := range wordsOf(*(*unsafe.Pointer)(unsafe.Pointer(&names)), 24) {
		switch {
		case word == nameBytes:
			lengths++
		case first <= word && word < first+uint64(len(text)):
			pointers++
		case cell <= word && word < cell+uint64(8*len(cells)):
			to++
		}
	}
	return fmt.Sprint(keys, elems, pointers, lengths, to)
}
