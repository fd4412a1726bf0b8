// Command big uses keys and elements that are too large for a slot, so that the slot holds a pointer.
package main

import (
	"encoding/binary"

	"programs/truth"
)

type (
	page [200]byte
	name [160]byte
)

var (
	pages = make(map[uint32]page)
	names = make(map[name]uint32)
	both  = make(map[name]*page)

	filledPages  = truth.Function("main.fillPages")
	droppedPages = truth.Function("main.dropPages")
	filledNames  = truth.Function("main.fillNames")
	droppedNames = truth.Function("main.dropNames")
	filledBoth   = truth.Function("main.fillBoth")
)

func makeName(i int) (key name) {
	binary.LittleEndian.PutUint64(key[100:], uint64(i))
	return key
}

//go:noinline
func fillPages(n, known int) {
	for i := 0; i < n; i++ {
		key := uint32(i % known)
		_, there := pages[key]
		filledPages.Assign(there)
		pages[key] = page{byte(i)}
	}
}

//go:noinline
func dropPages(n, known int) {
	for i := 0; i < n; i++ {
		key := uint32(7 * i % known)
		_, there := pages[key]
		droppedPages.Delete(there)
		delete(pages, key)
	}
}

//go:noinline
func fillNames(n, known int) {
	for i := 0; i < n; i++ {
		key := makeName(i % known)
		_, there := names[key]
		filledNames.Assign(there)
		names[key] = uint32(i)
	}
}

//go:noinline
func dropNames(n, known int) {
	for i := 0; i < n; i++ {
		key := makeName(7 * i % known)
		_, there := names[key]
		droppedNames.Delete(there)
		delete(names, key)
	}
}

//go:noinline
func fillBoth(n, known int) {
	for i := 0; i < n; i++ {
		key := makeName(i % known)
		_, there := both[key]
		filledBoth.Assign(there)
		both[key] = &page{}
	}
}

func work(ops int) {
	truth.Map("pages", pages)
	truth.Map("names", names)
	truth.Map("both", both)
	n := ops / 5
	known := n/4 + 1
	fillPages(n, known)
	dropPages(n/2, known)
	fillPages(n/2, known/2+1)
	fillNames(n, known)
	dropNames(n/2, known)
	fillNames(n/2, known/2+1)
	fillBoth(n/2, known)
}

func main() {
	truth.Run(work)
}
