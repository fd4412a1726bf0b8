// Command kinds uses keys of each size and kind that has a path of its own through the runtime.
package main

import (
	"unsafe"

	"programs/truth"
)

// holder is a pointer to the compiler.
type holder struct {
	node *node
}

type node struct {
	number int
}

type (
	quad   [4]byte
	octet  [8]byte
	triple [3]byte
	label  [2]string
)

var (
	bools     = make(map[bool]int)
	bytes     = make(map[int8]*node)
	shorts    = make(map[uint16]int)
	words     = make(map[int32]string)
	quads     = make(map[quad]int)
	octets    = make(map[octet]*node)
	triples   = make(map[triple]int)
	labels    = make(map[label]int)
	pointers  = make(map[*node]int)
	holders   = make(map[holder]*node)
	channels  = make(map[chan int]int)
	unsafes   = make(map[unsafe.Pointer]int)
	singles   = make(map[float32]int)
	complexes = make(map[complex128]*node)

	filled  = truth.Function("main.fill[...]")
	dropped = truth.Function("main.drop[...]")

	nodes [1 << 12]node
	chans [1 << 6]chan int
)

func makeNode(i int) *node { return &nodes[i%len(nodes)] }

func makeQuad(i int) quad { return quad{byte(i), byte(i >> 8), 7} }

func makeOctet(i int) octet { return octet{byte(i), byte(i >> 8), 7, 7, byte(i)} }

func makeTriple(i int) triple { return triple{byte(i), byte(i >> 8), byte(i >> 16)} }

func makeLabel(i int) label { return label{string(rune('a' + i%26)), string(rune('a' + i/26%1000))} }

func makeChan(i int) chan int {
	i %= len(chans)
	if chans[i] == nil {
		chans[i] = make(chan int)
	}
	return chans[i]
}

//go:noinline
func fill[K comparable, V any](m map[K]V, n int, key func(int) K) {
	var value V
	for i := 0; i < n; i++ {
		k := key(i)
		_, there := m[k]
		filled.Assign(there)
		m[k] = value
	}
}

//go:noinline
func drop[K comparable, V any](m map[K]V, n int, key func(int) K) {
	for i := 0; i < n; i += 2 {
		k := key(i)
		_, there := m[k]
		dropped.Delete(there)
		delete(m, k)
	}
}

func use[K comparable, V any](name string, m map[K]V, n int, key func(int) K) {
	truth.Map(name, m)
	fill(m, n, key)
	drop(m, n/2, key)
	fill(m, n/4, key)
}

func work(ops int) {
	n := ops / 20
	use("bools", bools, n, func(i int) bool { return i%2 == 0 })
	use("bytes", bytes, n, func(i int) int8 { return int8(i) })
	use("shorts", shorts, n, func(i int) uint16 { return uint16(i) })
	use("words", words, n, func(i int) int32 { return int32(i) })
	use("quads", quads, n, makeQuad)
	use("octets", octets, n, makeOctet)
	use("triples", triples, n, makeTriple)
	use("labels", labels, n, makeLabel)
	use("pointers", pointers, n, makeNode)
	use("holders", holders, n, func(i int) holder { return holder{makeNode(i)} })
	use("channels", channels, n, makeChan)
	use("unsafes", unsafes, n, func(i int) unsafe.Pointer { return unsafe.Pointer(makeNode(i)) })
	use("singles", singles, n, func(i int) float32 { return float32(i) / 4 })
	use("complexes", complexes, n, func(i int) complex128 { return complex(float64(i%9), float64(i)) })
}

func main() {
	truth.Run(work)
}
