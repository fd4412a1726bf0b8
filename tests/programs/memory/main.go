// Command memory does to its heap what it is told, a line of stdin at a time, and says what the runtime says of it.
//
// It answers each line with one that begins with the line itself. The map is
// map[uint64]wide: its buckets are large in every release, so that its arrays
// have spans of their own.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"
)

type wide [4]uint64

var (
	cache  map[uint64]wide
	others [][]byte
	small  map[uint64]uint64
)

//go:noinline
func fill(n int) {
	if cache == nil {
		cache = make(map[uint64]wide)
	}
	for k := 0; k < n; k++ {
		cache[uint64(k)] = wide{uint64(k)}
	}
}

//go:noinline
func fillSmall(n int) {
	small = make(map[uint64]uint64)
	for k := 0; k < n; k++ {
		small[uint64(k)] = 1
	}
}

//go:noinline
func drain(keep int) {
	for k := range cache {
		if int(k) >= keep {
			delete(cache, k)
		}
	}
}

//go:noinline
func rebuild() {
	fresh := make(map[uint64]wide, len(cache))
	for k, v := range cache {
		fresh[k] = v
	}
	cache = fresh
}

//go:noinline
func drop() { cache = nil }

//go:noinline
func dropSmall() { small = nil }

//go:noinline
func collect() { runtime.GC() }

//go:noinline
func give() { debug.FreeOSMemory() }

// hold allocates other memory of the heap, and writes to all of it.
//
//go:noinline
func hold(mib int) {
	for i := 0; i < mib; i++ {
		piece := make([]byte, 1<<20)
		for j := range piece {
			piece[j] = 1
		}
		others = append(others, piece)
	}
}

// reserve allocates memory of the heap and never writes to it.
//
//go:noinline
func reserve(mib int) { others = append(others, make([]byte, mib<<20)) }

func stats() string {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprint(m.HeapInuse, m.HeapIdle, m.HeapReleased, m.NumGC, m.NextGC, m.HeapSys, m.StackInuse)
}

// scrub overwrites what calls have left on the stack: who looks at it from outside could take it for in use.
//
//go:noinline
func scrub() (sum byte) {
	var room [8 << 10]byte
	for i := range room {
		sum += room[i]
	}
	return sum
}

// arrays returns addresses of the bucket arrays of the map.
func arrays() string {
	if cache == nil {
		return ""
	}
	var text []string
	for _, addr := range arraysOf(*(*unsafe.Pointer)(unsafe.Pointer(&cache))) {
		text = append(text, strconv.FormatUint(uint64(uintptr(addr)), 16))
	}
	return strings.Join(text, " ")
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		n := 0
		if len(words) > 1 {
			n, _ = strconv.Atoi(words[1])
		}
		said := ""
		switch words[0] {
		case "fill":
			fill(n)
		case "fill-small":
			fillSmall(n)
		case "drain":
			drain(n)
		case "rebuild":
			rebuild()
		case "drop":
			drop()
		case "drop-small":
			dropSmall()
		case "gc":
			collect()
		case "give":
			give()
		case "hold":
			hold(n)
		case "let-go":
			others = nil
		case "reserve":
			reserve(n)
		case "foreign":
			foreign(n)
		case "limit":
			debug.SetMemoryLimit(int64(n) << 20)
		case "percent":
			debug.SetGCPercent(n)
		case "stats":
			said = stats()
		case "arrays":
			said = arrays()
		case "quit":
			return
		default:
			said = more(words[0], n)
		}
		scrub()
		fmt.Println(strings.Join(words, " ")+":", said)
	}
}
