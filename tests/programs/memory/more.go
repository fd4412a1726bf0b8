package main

import (
	"fmt"
	"unsafe"
)

// Elements of these are large objects: bulky's because the runtime puts so large an element behind a pointer.
var (
	bulky   map[uint64][64 << 10]byte
	pointed map[uint64]*[72 << 10]byte
)

//go:noinline
func fillBulky(n int) {
	bulky, pointed = make(map[uint64][64 << 10]byte), make(map[uint64]*[72 << 10]byte)
	for k := 0; k < n; k++ {
		bulky[uint64(k)] = [64 << 10]byte{1}
		pointed[uint64(k)] = new([72 << 10]byte)
	}
}

//go:noinline
func drainBulky(n int) {
	for k := 0; k < n; k++ {
		delete(bulky, uint64(k))
		delete(pointed, uint64(k))
	}
}

// many holds maps of one entry; nothing else refers to them.
var many []map[uint64]uint64

//go:noinline
func fillMany(n int) {
	for k := 0; k < n; k++ {
		many = append(many, map[uint64]uint64{uint64(k): 1})
	}
}

// fillBeside makes maps where goroutines' stacks end: each has a span of its own, and waits for ever.
//
//go:noinline
func fillBeside(n int) {
	ready, never := make(chan byte), make(chan byte)
	for k := 0; k < n; k++ {
		go func() {
			ready <- deepen(16)
			<-never
		}()
		<-ready
		fillMany(50)
	}
}

//go:noinline
func deepen(calls int) byte {
	var frame [1 << 10]byte
	frame[calls] = 1
	if calls == 0 {
		return frame[0]
	}
	return frame[calls-1] + deepen(calls-1)
}

// holder refers to nine maps, each by way of a small object.
type holder struct {
	boxed *map[uint64]uint64
	face  any
	call  func() int
	few   []map[uint64]uint64
	queue chan map[uint64]uint64
	inner map[uint64]map[uint64]uint64
	next  *holder
}

var holders *holder

func one() map[uint64]uint64 { return map[uint64]uint64{1: 1} }

//go:noinline
func refer(n int) {
	for k := 0; k < n; k++ {
		boxed, called := new(map[uint64]uint64), one()
		*boxed = one()
		h := &holder{boxed: boxed, face: one(), call: func() int { return len(called) }, next: holders}
		h.few = []map[uint64]uint64{one(), one(), one()}
		h.queue = make(chan map[uint64]uint64, 1)
		h.queue <- one()
		h.inner = map[uint64]map[uint64]uint64{1: one()}
		holders = h
	}
}

//go:noinline
func dropMany() {
	for i := range many {
		many[i] = nil
	}
}

// read looks up each key of the map, and goes through it.
//
//go:noinline
func read() (sum uint64) {
	for k := range cache {
		sum += cache[k][0]
	}
	return sum
}

func buckets() string {
	if cache == nil {
		return "0"
	}
	return fmt.Sprint(bucketsOf(*(*unsafe.Pointer)(unsafe.Pointer(&cache))))
}

// more does what main does not know.
func more(what string, n int) (said string) {
	switch what {
	case "buckets":
		said = buckets()
	case "bulky":
		fillBulky(n)
	case "drain-bulky":
		drainBulky(n)
	case "many":
		fillMany(n)
	case "beside":
		fillBeside(n)
	case "held":
		refer(n)
	case "drop-many":
		dropMany()
	case "clear":
		clearCache()
	case "read":
		said = fmt.Sprint(read())
	case "mark":
		mark(n)
	case "unmark":
		unmark(n)
	case "clear-marks":
		clearMarks()
	case "loop-marks":
		loopMarks()
	case "marks":
		said = marks()
	case "profile":
		said = profile()
	default:
		panic(what)
	}
	return said
}
