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
