//go:build !go1.26 && !(go1.24 && goexperiment.swissmap)

package main

import "unsafe"

// hmap is the part of the header that leads to the buckets.
//
// go: runtime/map.go hmap [1.18..1.23]
type hmap struct {
	count      int
	flags      uint8
	b          uint8
	noverflow  uint16
	hash0      uint32
	buckets    unsafe.Pointer
	oldbuckets unsafe.Pointer
}

func arraysOf(header unsafe.Pointer) (found []unsafe.Pointer) {
	h := (*hmap)(header)
	for _, array := range []unsafe.Pointer{h.buckets, h.oldbuckets} {
		if array != nil {
			found = append(found, array)
		}
	}
	return found
}

// bucketsOf returns how many buckets the array of a map has, without overflow buckets.
func bucketsOf(header unsafe.Pointer) int {
	return 1 << (*hmap)(header).b
}

// wordsOf returns what stands in the buckets of a map, for slots of so many bytes.
//
// go: runtime/map.go bmap [1.18..1.23]
func wordsOf(header unsafe.Pointer, slot int) []uint64 {
	bytes := bucketsOf(header) * (8 + 8*slot + 8)
	return unsafe.Slice((*uint64)((*hmap)(header).buckets), bytes/8)
}
