// Command nested keeps maps in maps, and lets some of them go.
package main

import (
	"strconv"

	"programs/truth"
)

type shelf map[string]map[int]bool

var (
	shelves = make(map[int32]shelf)

	opened  = truth.Function("main.open")
	placed  = truth.Function("main.place")
	touched = truth.Function("main.touch")
	lent    = truth.Function("main.lend")
)

// open returns the innermost map, making what is missing on the way.
//
//go:noinline
func open(room int32, name string) map[int]bool {
	if shelves[room] == nil {
		opened.Assign(false)
		shelves[room] = shelf{}
		truth.Map("shelf", shelves[room])
	}
	if shelves[room][name] == nil {
		opened.Assign(false)
		shelves[room][name] = make(map[int]bool, 4)
		truth.Map("books", shelves[room][name])
	}
	return shelves[room][name]
}

// touch writes a map of a defined type as one of the type that this is defined by.
//
//go:noinline
func touch(m map[string]map[int]bool, name string) {
	_, there := m[name]
	touched.Assign(there)
	m[name] = m[name]
}

//go:noinline
func place(room int32, name string, book int) {
	books := open(room, name)
	_, there := books[book]
	placed.Assign(there)
	books[book] = true
}

//go:noinline
func lend(room int32, name string, book int) {
	_, there := shelves[room][name][book]
	lent.Delete(there)
	delete(shelves[room][name], book)
}

func work(ops int) {
	truth.Map("shelves", shelves)
	n := ops * 4 / 5
	for i := 0; i < n; i++ {
		room, name := int32(i%3), strconv.Itoa(i%7)
		place(room, name, i%(n/2+1))
		if i%16 == 0 {
			touch(shelves[room], name)
		}
		if i%4 == 0 {
			lend(room, name, i)
		}
		lend(9, name, i)
	}
}

func main() {
	truth.Run(work)
}
