//go:build !cgo

package main

import "syscall"

var pieces [][]byte

// foreign takes memory from the system, as C's malloc does with large pieces, and writes to all of it.
func foreign(mib int) {
	const rights, kind = syscall.PROT_READ | syscall.PROT_WRITE, syscall.MAP_ANON | syscall.MAP_PRIVATE
	piece, err := syscall.Mmap(-1, 0, mib<<20, rights, kind)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(piece); i += 4096 {
		piece[i] = 1
	}
	pieces = append(pieces, piece)
}
