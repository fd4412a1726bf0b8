// Command panics tries what a map refuses, and goes on: keys that can't be hashed, and maps that aren't there.
package main

import "programs/truth"

var (
	values = make(map[any]int)
	empty  = make(map[any]int)
	absent map[string]int

	filled  = truth.Function("main.fill")
	dropped = truth.Function("main.drop")
	_       = truth.Function("main.tryAssign")
	_       = truth.Function("main.tryDelete")
	_       = truth.Function("main.tryAbsent")
)

// attempt fails where it does not panic.
func attempt(what func()) {
	defer func() {
		if recover() == nil {
			panic("nothing panicked")
		}
	}()
	what()
}

//go:noinline
func tryAssign(m map[any]int, key any) {
	attempt(func() { m[key]++ })
}

//go:noinline
func tryDelete(m map[any]int, key any) {
	attempt(func() { delete(m, key) })
}

//go:noinline
func tryAbsent() {
	delete(absent, "nothing")
	attempt(func() { absent["nothing"] = 1 })
}

//go:noinline
func fill(key any) {
	_, there := values[key]
	filled.Assign(there)
	values[key]++
}

//go:noinline
func drop(key any) {
	_, there := values[key]
	dropped.Delete(there)
	delete(values, key)
}

func work(ops int) {
	truth.Map("values", values)
	truth.Map("empty", empty)
	n := ops * 3 / 4
	unhashable := []any{[]int{1}, map[int]int{}, func() {}, [1]any{[]byte{2}}, struct{ inner any }{[]string{"x"}}}
	for i := 0; i < n; i++ {
		fill(i % (n/2 + 1))
		key := unhashable[i%len(unhashable)]
		tryAssign(values, key)
		tryAssign(empty, key)
		tryDelete(values, key)
		tryDelete(empty, key)
		tryAbsent()
		if i%3 == 0 {
			drop(i / 2)
		}
	}
}

func main() {
	truth.Run(work)
}
