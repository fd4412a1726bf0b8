//go:build !go1.24 || (!go1.26 && !goexperiment.swissmap)

package truth

import "unsafe"

const implementation = "classic"

// hmap is the part of the runtime's map header that leads to the buckets.
//
// In Go 1.24 and 1.25 it stands in runtime/map_noswiss.go, with the same offsets.
//
// go: runtime/map.go hmap [1.19..1.23]
type hmap struct {
	count      int
	flags      uint8
	B          uint8
	noverflow  uint16
	hash0      uint32
	buckets    unsafe.Pointer
	oldbuckets unsafe.Pointer
	nevacuate  uintptr
}

const (
	sameSizeGrow     = 8  // go: runtime/map.go sameSizeGrow [1.19..1.23]
	emptyOne         = 1  // go: runtime/map.go emptyOne [1.19..1.23]
	minTopHash       = 5  // go: runtime/map.go minTopHash [1.19..1.23]
	bucketSizeOffset = 82 // go: internal/abi/type.go MapType.BucketSize [1.21..1.23]
)

// read walks all buckets of a map: main and chained overflow, and the old ones that wait for evacuation.
func read(header, typ unsafe.Pointer) (s shape) {
	h := (*hmap)(header)
	bucketSize := uintptr(*(*uint16)(unsafe.Add(typ, bucketSizeOffset)))
	count := uintptr(1) << h.B
	for i := uintptr(0); h.buckets != nil && i < count; i++ {
		s.addChain(unsafe.Add(h.buckets, i*bucketSize), bucketSize)
	}
	if h.oldbuckets == nil {
		return s
	}
	s.growing = true
	if h.flags&sameSizeGrow == 0 {
		count /= 2
	}
	for i := uintptr(0); i < count; i++ {
		old := unsafe.Add(h.oldbuckets, i*bucketSize)
		if first := *(*uint8)(old); first <= emptyOne || first >= minTopHash {
			s.addChain(old, bucketSize)
		}
	}
	return s
}

// addChain counts a main bucket and the overflow buckets behind it, linked by their last word.
func (s *shape) addChain(bucket unsafe.Pointer, bucketSize uintptr) {
	for ; bucket != nil; bucket = *(*unsafe.Pointer)(unsafe.Add(bucket, bucketSize-unsafe.Sizeof(bucket))) {
		live := 0
		for _, tophash := range *(*[bucketSlots]uint8)(bucket) {
			if tophash >= minTopHash {
				live++
			}
		}
		s.add(live)
	}
}
