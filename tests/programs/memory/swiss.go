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

func tablesOf(header unsafe.Pointer) (found []*table) {
	m := (*swissMap)(header)
	var last *table
	for _, t := range unsafe.Slice((**table)(m.dirPtr), m.dirLen) {
		if t != last {
			found = append(found, t)
		}
		last = t
	}
	return found
}

func arraysOf(header unsafe.Pointer) (found []unsafe.Pointer) {
	if m := (*swissMap)(header); m.dirLen == 0 {
		return []unsafe.Pointer{m.dirPtr}
	}
	for _, t := range tablesOf(header) {
		found = append(found, t.groups)
	}
	return found
}

// bucketsOf returns how many groups the arrays of a map have.
func bucketsOf(header unsafe.Pointer) (groups int) {
	if (*swissMap)(header).dirLen == 0 {
		return 1
	}
	for _, t := range tablesOf(header) {
		groups += int(t.lengthMask) + 1
	}
	return groups
}

// wordsOf returns what stands in the groups of a map, for slots of so many bytes.
//
// go: internal/runtime/maps/group.go groupReference [1.24..1.27]
func wordsOf(header unsafe.Pointer, slot int) (words []uint64) {
	group := (8 + 8*slot) / 8
	if m := (*swissMap)(header); m.dirLen == 0 {
		return unsafe.Slice((*uint64)(m.dirPtr), group)
	}
	for _, t := range tablesOf(header) {
		words = append(words, unsafe.Slice((*uint64)(t.groups), (int(t.lengthMask)+1)*group)...)
	}
	return words
}
