//go:build go1.26 || (go1.24 && goexperiment.swissmap)

package main

import (
	"fmt"
	"unsafe"
)

// go: internal/runtime/maps/map.go Map [1.24..1.27]
type swissMap struct {
	used              uint64
	seed              uintptr
	dirPtr            unsafe.Pointer
	dirLen            int
	globalDepth       uint8
	globalShift       uint8
	writing           uint8
	tombstonePossible bool
	clearSeq          uint64
}

// go: internal/runtime/maps/table.go table [1.24..1.27]
type table struct {
	used       uint16
	capacity   uint16
	growthLeft uint16
	localDepth uint8
	index      int
	groups     unsafe.Pointer
	lengthMask uint64
}

const (
	groupTypeOffset = 64 // go: internal/abi/map.go MapType.Group [1.24..1.27]
	ptrBytesOffset  = 8  // go: internal/abi/type.go Type.PtrBytes [1.24..1.27]
)

func seed(header unsafe.Pointer) uintptr { return (*swissMap)(header).seed }

func bucketType(typ unsafe.Pointer) (bytes uintptr, hasPointers int) {
	group := *(*unsafe.Pointer)(unsafe.Add(typ, groupTypeOffset))
	return *(*uintptr)(group), b2i(*(*uintptr)(unsafe.Add(group, ptrBytesOffset)) != 0)
}

// otherBytes returns what a map takes beside its groups, tables and directory.
func otherBytes(unsafe.Pointer) uint64 { return 48 }

// isUnsettled says whether a map is in the midst of a growth: a Swiss map grows all at once.
func isUnsettled(unsafe.Pointer) bool { return true }

// dump writes used, tombstonePossible, globalDepth, dirLen and whether there is an array; then all groups,
// and a line for each table.
func dump(header, typ unsafe.Pointer) {
	m := (*swissMap)(header)
	size, _ := bucketType(typ)
	fmt.Fprintf(out, "S %d %d %d %d %d |", m.used, b2i(m.tombstonePossible), m.globalDepth, m.dirLen, b2i(m.dirPtr != nil))
	if m.dirLen == 0 {
		if m.dirPtr != nil {
			fmt.Fprintf(out, " 0:%x", *(*uint64)(m.dirPtr))
		}
		fmt.Fprintln(out)
		return
	}
	var distinct []*table
	for _, t := range unsafe.Slice((**table)(m.dirPtr), m.dirLen) {
		if len(distinct) > 0 && distinct[len(distinct)-1] == t {
			continue
		}
		for i := uintptr(0); i <= uintptr(t.lengthMask); i++ {
			fmt.Fprintf(out, " %d:%x", len(distinct), *(*uint64)(unsafe.Add(t.groups, i*size)))
		}
		distinct = append(distinct, t)
	}
	fmt.Fprintln(out)
	for _, t := range distinct {
		fmt.Fprintf(out, "T %d %d %d %d %d\n", t.used, t.capacity, t.growthLeft, t.localDepth, t.index)
	}
}
