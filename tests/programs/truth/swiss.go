//go:build go1.26 || (go1.24 && goexperiment.swissmap)

package truth

import "unsafe"

const implementation = "swiss"

// swissMap is the part of the map header that leads to the groups.
//
// go: internal/runtime/maps/map.go Map [1.24..1.27]
type swissMap struct {
	used   uint64
	seed   uintptr
	dirPtr unsafe.Pointer
	dirLen int
}

// table is one hash table of a map.
//
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
	groupSizeOffset = 80   // go: internal/abi/map.go MapType.GroupSize [1.26..1.27]
	ctrlEmpty       = 0x80 // go: internal/runtime/maps/group.go ctrlEmpty [1.24..1.27]
)

// read walks all groups of a map: the one of a small map, or those of each table in its directory.
func read(header, typ unsafe.Pointer) (s shape) {
	m := (*swissMap)(header)
	groupSize := *(*uintptr)(unsafe.Add(typ, groupSizeOffset))
	if m.dirLen == 0 {
		if m.dirPtr != nil {
			s.addGroup(m.dirPtr)
		}
		return s
	}
	var last *table
	for _, t := range unsafe.Slice((**table)(m.dirPtr), m.dirLen) {
		// A table that isn't split as deep as the directory stands there several times in a row.
		if t == last {
			continue
		}
		last = t
		if uint64(t.capacity) != bucketSlots*(t.lengthMask+1) {
			panic("truth: the capacity of a table isn't that of its groups")
		}
		for i := range uintptr(t.lengthMask) + 1 {
			s.addGroup(unsafe.Add(t.groups, i*groupSize))
		}
	}
	return s
}

// addGroup counts a group: eight control bytes, then its slots.
func (s *shape) addGroup(group unsafe.Pointer) {
	live := 0
	for _, ctrl := range *(*[bucketSlots]uint8)(group) {
		if ctrl < ctrlEmpty {
			live++
		}
	}
	s.add(live)
}
