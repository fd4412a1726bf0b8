//go:build go1.26 || (go1.24 && goexperiment.swissmap)

package main

import "unsafe"

// swissMap is the part of the header that leads to the groups.
//
// go: internal/runtime/maps/map.go Map [1.24..1.27]
type swissMap struct {
	used   uint64
	seed   uintptr
	dirPtr unsafe.Pointer
	dirLen int
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

func arraysOf(header unsafe.Pointer) (found []unsafe.Pointer) {
	m := (*swissMap)(header)
	if m.dirLen == 0 {
		return []unsafe.Pointer{m.dirPtr}
	}
	var last *table
	for _, t := range unsafe.Slice((**table)(m.dirPtr), m.dirLen) {
		if t != last {
			found = append(found, t.groups)
		}
		last = t
	}
	return found
}
