// Command interfaces uses interface keys of different types whose hashes collide.
package main

import "programs/truth"

type length interface {
	millimetres() int64
}

type (
	metres int64
	inches int64
)

func (m metres) millimetres() int64 { return int64(m) * 1000 }
func (i inches) millimetres() int64 { return int64(i) * 254 / 10 }

var (
	values  = make(map[any]int)
	lengths = make(map[length]int)

	filledValues   = truth.Function("main.fillValues")
	droppedValues  = truth.Function("main.dropValues")
	filledLengths  = truth.Function("main.fillLengths")
	droppedLengths = truth.Function("main.dropLengths")
)

// value returns the i-th key: five types take turns, and the numbers of one turn are the same.
func value(i int) any {
	number := i / 5
	switch i % 5 {
	case 0:
		return int64(number)
	case 1:
		return uint64(number)
	case 2:
		return int32(number)
	case 3:
		return string([]byte{byte(number)})
	default:
		return [1]byte{byte(number)}
	}
}

func span(i int) length {
	if i%2 == 0 {
		return metres(i / 2)
	}
	return inches(i / 2)
}

//go:noinline
func fillValues(n int) {
	for i := 0; i < n; i++ {
		key := value(i)
		_, there := values[key]
		filledValues.Assign(there)
		values[key] = i
	}
}

//go:noinline
func dropValues(n int) {
	for i := 0; i < n; i++ {
		key := value(4 * i)
		_, there := values[key]
		droppedValues.Delete(there)
		delete(values, key)
	}
}

//go:noinline
func fillLengths(n int) {
	for i := 0; i < n; i++ {
		key := span(i)
		_, there := lengths[key]
		filledLengths.Assign(there)
		lengths[key] += i
	}
}

//go:noinline
func dropLengths(n int) {
	for i := 0; i < n; i++ {
		key := span(3 * i)
		_, there := lengths[key]
		droppedLengths.Delete(there)
		delete(lengths, key)
	}
}

func work(ops int) {
	truth.Map("values", values)
	truth.Map("lengths", lengths)
	n := ops / 6
	fillValues(2 * n)
	dropValues(n)
	fillValues(n)
	fillLengths(n)
	dropLengths(n / 2)
	fillLengths(n / 2)
}

func main() {
	truth.Run(work)
}
