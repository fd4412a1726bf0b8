// Command empty_sets keeps an index of sets, one for each namespace: the sets of those that are gone are empty and stay.
//
// It says "ready" when there are many, and goes on to make and to empty them.
package main

import (
	"fmt"
	"time"
)

type empty struct{}

type store struct {
	items map[string]string
	index map[string]map[string]empty
}

//go:noinline
func (s *store) add(namespace, name string) {
	key := namespace + "/" + name
	s.items[key] = name
	if s.index[namespace] == nil {
		s.index[namespace] = map[string]empty{}
	}
	s.index[namespace][key] = empty{}
}

//go:noinline
func (s *store) remove(namespace, name string) {
	key := namespace + "/" + name
	delete(s.items, key)
	delete(s.index[namespace], key)
}

var objects = &store{map[string]string{}, map[string]map[string]empty{}}

const gone = 60_000

func main() {
	names := []string{"pod-0", "pod-1", "pod-2"}
	for n := 0; ; n++ {
		namespace := fmt.Sprintf("namespace-of-build-%08d", n)
		for _, name := range names {
			objects.add(namespace, name)
		}
		for _, name := range names {
			objects.remove(namespace, name)
		}
		if n == gone {
			fmt.Println("ready")
		}
		if n > gone {
			time.Sleep(time.Millisecond)
		}
	}
}
