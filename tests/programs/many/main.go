// Command many makes a multitude of small maps and keeps them all.
package main

import "programs/truth"

const (
	largest       = 20
	mostPublished = 2000
)

type node struct {
	weight int
}

var (
	graph []map[uint32]*node

	linked  = truth.Function("main.link")
	trimmed = truth.Function("main.trim")
)

//go:noinline
func link(edges map[uint32]*node, n int) {
	for i := 0; i < n; i++ {
		key := uint32(i)
		_, there := edges[key]
		linked.Assign(there)
		edges[key] = &node{weight: i}
	}
}

// trim deletes every third edge.
//
//go:noinline
func trim(edges map[uint32]*node, n int) {
	for i := 0; i < n; i += 3 {
		key := uint32(i)
		_, there := edges[key]
		trimmed.Delete(there)
		delete(edges, key)
	}
}

func work(ops int) {
	count := ops / 10
	step := (count + mostPublished - 1) / mostPublished
	for i := 0; i < count; i++ {
		edges := make(map[uint32]*node)
		graph = append(graph, edges)
		if i%step == 0 {
			truth.Map("edges", edges)
		}
		size := 1 + int(truth.Scatter(uint64(i))%largest)
		link(edges, size)
		if i%4 == 0 {
			trim(edges, size)
		}
	}
}

func main() {
	truth.Run(work)
}
