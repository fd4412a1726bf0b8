// Command hints makes maps with size hints and fills each of them in part.
package main

import (
	"strconv"

	"programs/truth"
)

const mostPublished = 2000

var (
	hints = [...]int{0, 1, 8, 9, 100, 1000, 3000, 10000}

	numbered []map[uint64]uint64
	named    []map[string]*int

	numbers = truth.Function("main.fillNumbers")
	names   = truth.Function("main.fillNames")
)

//go:noinline
func fillNumbers(m map[uint64]uint64, n int) {
	for i := 0; i < n; i++ {
		key := truth.Scatter(uint64(i))
		_, there := m[key]
		numbers.Assign(there)
		m[key] = key
	}
}

//go:noinline
func fillNames(m map[string]*int, n int) {
	for i := 0; i < n; i++ {
		key := "name " + strconv.Itoa(i)
		_, there := m[key]
		names.Assign(there)
		m[key] = new(int)
	}
}

func publish(name string, m any, count int) {
	if count < mostPublished {
		truth.Map(name, m)
	}
}

// constants makes a map with each kind of hint that the compiler knows, and leaves the last in the midst of a growth
// where growth is gradual.
func constants() {
	small, exact, table := make(map[string]*int, 8), make(map[string]*int, 9), make(map[string]*int, 100)
	truth.Map("constant 8", small)
	truth.Map("constant 9", exact)
	truth.Map("constant 100", table)
	fillNames(small, 8)
	fillNames(exact, 9)
	fillNames(table, 105)
}

func work(ops int) {
	constants()
	for done := 122; done < ops; {
		for i, hint := range hints {
			part := hint/2 + i
			if part > ops/8 {
				part = ops / 8
			}
			byNumber, byName := make(map[uint64]uint64, hint), make(map[string]*int, hint)
			publish("number "+strconv.Itoa(hint), byNumber, len(numbered))
			publish("name "+strconv.Itoa(hint), byName, len(named))
			numbered, named = append(numbered, byNumber), append(named, byName)
			fillNumbers(byNumber, part)
			fillNames(byName, part)
			done += 2 * part
		}
	}
}

func main() {
	truth.Run(work)
}
