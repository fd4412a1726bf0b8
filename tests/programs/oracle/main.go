//go:build go1.21

// Command oracle does random operations on maps of its own and writes down what the runtime made of them.
//
// One line each, words in decimal, control bytes and hashes in hex:
//
//	V version                                    of Go
//	N type hint bucketBytes hasPointers prunes   a new map
//	A hash keyType                               an assignment
//	D hash keyType                               a delete
//	C                                            a clear
//	S header... | part:control...                the map as it stands in memory
//	T used capacity growthLeft localDepth index  a table of it (Swiss)
//	B bytes                                      what its buckets take on the heap
//	M hint bytes                                 what making a map of the type above took
package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"
)

const hasherOffset = 72 // go: internal/abi/map.go MapType.Hasher [1.18..1.27]

var out = bufio.NewWriterSize(os.Stdout, 1<<20)

// kind is a type of maps, and how to make its keys.
type kind[K comparable] struct {
	name    string
	key     func(n uint64) K
	keyType func(k K) uint64
	prunes  bool
}

// subject is one map under test. It lives in a global, so that the collector sees when it is dropped.
type subject[K comparable] struct {
	kind[K]
	m      map[K]int
	random *rand.Rand
	left   int  // operations before it may end
	ended  bool // no more operations: it is to be weighed as it stands
}

func (s *subject[K]) header() unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&s.m)) }

// typ returns the descriptor of the map's type.
func (s *subject[K]) typ() unsafe.Pointer {
	boxed := any(s.m)
	return *(*unsafe.Pointer)(unsafe.Pointer(&boxed))
}

// note writes down an operation with the hash that the runtime is about to compute.
func (s *subject[K]) note(operation string, k K) {
	hasher := *(*func(unsafe.Pointer, uintptr) uintptr)(unsafe.Add(s.typ(), hasherOffset))
	fmt.Fprintf(out, "%s %x %x\n", operation, hasher(unsafe.Pointer(&k), seed(s.header())), s.keyType(k))
}

// ends says whether the map's life is over: after so many operations, but in the midst of a growth if there is one.
func (s *subject[K]) ends() bool {
	s.left--
	s.ended = s.ended || s.left < 0 && (isUnsettled(s.header()) || s.left < -1000)
	return s.ended
}

func (s *subject[K]) assign(n uint64) {
	if s.ends() {
		return
	}
	k := s.key(n)
	s.note("A", k)
	s.m[k] = int(n)
}

func (s *subject[K]) remove(n uint64) {
	if s.ends() {
		return
	}
	k := s.key(n)
	s.note("D", k)
	delete(s.m, k)
}

func (s *subject[K]) clear() {
	if s.ended {
		return
	}
	clear(s.m)
	fmt.Fprintln(out, "C")
	dump(s.header(), s.typ())
}

// life runs a map through growth, churn, a sliding window, updates and clears, for about so many operations.
func (s *subject[K]) life(hint, operations int) {
	s.left, s.ended = operations, false
	s.m = make(map[K]int, hint)
	bucketBytes, hasPointers := bucketType(s.typ())
	fmt.Fprintf(out, "N %s %d %d %d %d\n", s.name, hint, bucketBytes, hasPointers, b2i(s.prunes))
	dump(s.header(), s.typ())
	peak := uint64(10 + s.random.Intn(3000))
	for n := uint64(0); n < peak; n++ {
		s.assign(n)
		s.sometimesDump()
	}
	for range [4000]struct{}{} {
		n := uint64(s.random.Intn(int(2 * peak)))
		if s.random.Intn(2) == 0 {
			s.assign(n)
		} else {
			s.remove(n)
		}
		s.sometimesDump()
	}
	for n := 2 * peak; n < 4*peak; n++ {
		s.assign(n)
		s.remove(n - peak)
		s.sometimesDump()
	}
	for range [3]struct{}{} {
		s.clear()
		refill := uint64(s.random.Intn(int(peak)))
		for n := uint64(0); n < refill; n++ {
			s.assign(n % (peak/2 + 1))
			s.sometimesDump()
		}
	}
	dump(s.header(), s.typ())
}

func (s *subject[K]) sometimesDump() {
	if !s.ended && s.random.Intn(150) == 0 {
		dump(s.header(), s.typ())
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// charge returns what the allocator charges for a slice of pointers.
func charge(capacity int) uint64 {
	size := uint64(8 * capacity)
	if size > 512 && size < 32768 {
		size += 8
	}
	return size
}

// stats and before are globals, so that measuring makes no objects.
var stats, before runtime.MemStats

// live returns the bytes that the collector keeps.
func live() uint64 {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// weigh drops the map and writes down how much that freed, less what are not its buckets.
func (s *subject[K]) weigh() {
	out.Flush()
	other := otherBytes(s.header())
	kept := live()
	s.m = nil
	fmt.Fprintf(out, "B %d\n", kept-live()-other)
}

// make writes down what making a map takes: the least of three, as the runtime allocates in between.
func (s *subject[K]) make(hint int) {
	least := ^uint64(0)
	for range [3]struct{}{} {
		runtime.ReadMemStats(&before)
		s.m = make(map[K]int, hint)
		runtime.ReadMemStats(&stats)
		least = min(least, stats.TotalAlloc-before.TotalAlloc-otherBytes(s.header()))
	}
	s.m = nil
	fmt.Fprintf(out, "M %d %d\n", hint, least)
}

func lives[K comparable](s *subject[K]) {
	s.random = rand.New(rand.NewSource(int64(len(s.name))))
	for _, hint := range []int{0, 5, 9, 100, 449, 897, 3000} {
		s.life(hint, 1<<30)
		s.weigh()
	}
	for range [40]struct{}{} {
		s.life(0, s.random.Intn(1<<s.random.Intn(12)))
		s.weigh()
	}
	for hint := 0; hint < 20000; hint += 1 + hint/16 {
		s.make(hint)
	}
	out.Flush()
}

func noType[K comparable](K) uint64 { return 0 }

func number(n uint64) uint64 { return n }

// mixed are keys that share hashes: the same number in three types. They are made once, so that no map owns them.
var mixed = func() []any {
	all := make([]any, 0, 39000)
	for n := uint64(0); n < 13000; n++ {
		all = append(all, n, int64(n), uintptr(n))
	}
	return all
}()

var strings = func() []string {
	all := make([]string, 13000)
	for n := range all {
		all[n] = fmt.Sprintf("key-%d", n)
	}
	return all
}()

func text(n uint64) string { return strings[n] }

type pair struct{ a, b uint64 }

var (
	numbers = subject[uint64]{kind: kind[uint64]{"map[uint64]int", number, noType[uint64], true}}
	texts   = subject[string]{kind: kind[string]{"map[string]int", text, noType[string], true}}
	pairs   = subject[pair]{kind: kind[pair]{
		"map[pair]int", func(n uint64) pair { return pair{n, n / 2} }, noType[pair], false,
	}}
	anys = subject[any]{kind: kind[any]{
		"map[any]int", func(n uint64) any { return mixed[n] }, func(k any) uint64 { return *(*uint64)(unsafe.Pointer(&k)) }, false,
	}}
)

func main() {
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(1)
	out.Reset(io.Discard)
	lives(&numbers) // the first time, weighing meets objects that the runtime makes for itself
	out.Reset(os.Stdout)
	fmt.Fprintf(out, "V %s\n", runtime.Version())
	lives(&numbers)
	lives(&texts)
	lives(&pairs)
	lives(&anys)
}
