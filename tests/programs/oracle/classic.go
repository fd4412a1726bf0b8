//go:build !go1.24 || (!go1.26 && !goexperiment.swissmap)

package main

import (
	"fmt"
	"unsafe"
)

// go: runtime/map.go hmap [1.18..1.23]
type hmap struct {
	count      int
	flags      uint8
	B          uint8
	noverflow  uint16
	hash0      uint32
	buckets    unsafe.Pointer
	oldbuckets unsafe.Pointer
	nevacuate  uintptr
	extra      *mapextra
}

// go: runtime/map.go mapextra [1.18..1.23]
type mapextra struct {
	overflow     *[]unsafe.Pointer
	oldoverflow  *[]unsafe.Pointer
	nextOverflow unsafe.Pointer
}

const (
	bucketTypeOffset = 64 // go: internal/abi/map.go MapType.Bucket [1.18..1.23]
	ptrBytesOffset   = 8  // go: internal/abi/type.go Type.PtrBytes [1.18..1.23]
	sameSizeGrow     = 8
)

func seed(header unsafe.Pointer) uintptr { return uintptr((*hmap)(header).hash0) }

func bucketType(typ unsafe.Pointer) (bytes uintptr, hasPointers int) {
	bucket := *(*unsafe.Pointer)(unsafe.Add(typ, bucketTypeOffset))
	return *(*uintptr)(bucket), b2i(*(*uintptr)(unsafe.Add(bucket, ptrBytesOffset)) != 0)
}

// otherBytes returns what a map takes beside its buckets.
func otherBytes(header unsafe.Pointer) uint64 {
	h := (*hmap)(header)
	total := uint64(48)
	if h.extra == nil {
		return total
	}
	total += 24
	for _, overflow := range []*[]unsafe.Pointer{h.extra.overflow, h.extra.oldoverflow} {
		if overflow != nil {
			total += 24 + charge(cap(*overflow))
		}
	}
	return total
}

// isUnsettled says whether a map is in the midst of a growth.
func isUnsettled(header unsafe.Pointer) bool { return (*hmap)(header).oldbuckets != nil }

// dump writes count, flags, B, noverflow, whether there are buckets and old ones, nevacuate, and how many
// preallocated overflow buckets are left (-1: none or unknown); then all buckets.
func dump(header, typ unsafe.Pointer) {
	h := (*hmap)(header)
	size, _ := bucketType(typ)
	next := -1
	if h.extra != nil && h.extra.nextOverflow != nil {
		next = int((uintptr(h.extra.nextOverflow)-uintptr(h.buckets))/size) - 1<<h.B
	}
	fmt.Fprintf(out, "S %d %d %d %d %d %d %d %d |", h.count, h.flags, h.B, h.noverflow,
		b2i(h.buckets != nil), b2i(h.oldbuckets != nil), h.nevacuate, next)
	for i := uintptr(0); h.buckets != nil && i < 1<<h.B; i++ {
		chain(unsafe.Add(h.buckets, i*size), size, 0)
	}
	if h.oldbuckets != nil {
		count := uintptr(1) << h.B
		if h.flags&sameSizeGrow == 0 {
			count /= 2
		}
		for i := uintptr(0); i < count; i++ {
			old := unsafe.Add(h.oldbuckets, i*size)
			if first := *(*uint8)(old); first < 2 || first > 4 {
				chain(old, size, 2)
			}
		}
	}
	fmt.Fprintln(out)
}

func chain(bucket unsafe.Pointer, size uintptr, part int) {
	fmt.Fprintf(out, " %d:%x", part, *(*uint64)(bucket))
	for {
		bucket = *(*unsafe.Pointer)(unsafe.Add(bucket, size-8))
		if bucket == nil {
			return
		}
		fmt.Fprintf(out, " %d:%x", part+1, *(*uint64)(bucket))
	}
}
