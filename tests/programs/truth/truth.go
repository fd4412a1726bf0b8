// Package truth lets a program say what its own memory holds of its maps, and what it did to them.
//
// A program registers maps and counts the operations of its functions; Run
// prints both as one line of JSON when the work is done. Counts live in plain
// structs, so that none of this adds a map.
package truth

import (
	"flag"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"
)

// Counter holds what one function did, counted before each operation.
type Counter struct {
	function string
	inserts  atomic.Uint64
	updates  atomic.Uint64
	deletes  atomic.Uint64
	clears   atomic.Uint64
}

// registered is a map and the name that it goes by; holding it keeps the map alive and on the heap.
//
// Of a map that may stand on a stack the row is written at once, and the map isn't held.
type registered struct {
	name  string
	value any
	row   []byte
}

// shape is what the memory of a map says.
type shape struct {
	live     int
	buckets  int
	retained int
	growing  bool
}

const bucketSlots = 8

var (
	counters []*Counter
	maps     []registered
)

// Function returns the counter of the function of that name, as the symbol table writes it.
func Function(name string) *Counter {
	c := &Counter{function: name}
	counters = append(counters, c)
	return c
}

// Assign counts an assignment to a key that is there (an update) or not (an insert).
func (c *Counter) Assign(there bool) {
	if there {
		c.updates.Add(1)
	} else {
		c.inserts.Add(1)
	}
}

// Delete counts the delete of a key if it is there.
func (c *Counter) Delete(there bool) {
	if there {
		c.deletes.Add(1)
	}
}

// Inserts counts n inserts of keys that are not there.
func (c *Counter) Inserts(n int) {
	c.inserts.Add(uint64(n))
}

// Deletes counts n deletes of keys that are there.
func (c *Counter) Deletes(n int) {
	c.deletes.Add(uint64(n))
}

// Clear counts the clear of a map of that length, unless there is nothing to clear.
func (c *Counter) Clear(length int) {
	if length > 0 {
		c.clears.Add(1)
	}
}

// Map registers a map under a name.
func Map(name string, value any) {
	maps = append(maps, registered{name: name, value: value})
}

// Local says of a map that doesn't escape what its memory holds now; its type is given as reflect would print it.
//
// The map must not be written, and its stack not grow, from here on.
func Local(name, typ string, value any) {
	descriptor, header := words(value)
	row := appendMap(nil, name, typ, header, read(header, descriptor), true)
	maps = append(maps, registered{name: name, row: row})
}

// Scatter returns a number that is different for each i and looks random.
//
// It is the finalizer of splitmix64.
func Scatter(i uint64) uint64 {
	i += 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}

// Run does the work and prints the truth about it, waiting on stdin where the flags say so.
func Run(work func(ops int)) {
	ops := flag.Int("ops", 1000, "about how many map operations to do")
	delay := flag.Bool("delay", false, "print READY and read a line before the work")
	wait := flag.Bool("wait", false, "read a line after the truth is printed")
	flag.Parse()
	if *delay {
		os.Stdout.WriteString("READY\n")
		readLine()
	}
	work(*ops)
	os.Stdout.Write(document())
	if *wait {
		readLine()
	}
}

// readLine blocks until stdin gives a line or ends.
func readLine() {
	char := make([]byte, 1)
	for {
		n, err := os.Stdin.Read(char)
		if err != nil || n == 1 && char[0] == '\n' {
			return
		}
	}
}

// document returns the truth as one line of JSON.
func document() []byte {
	line := appendText(nil, `{"go":`, runtime.Version())
	line = appendText(line, `,"implementation":`, implementation)
	line = append(line, `,"maps":[`...)
	for i, m := range maps {
		if i > 0 {
			line = append(line, ',')
		}
		line = m.append(line)
	}
	line = append(line, `],"functions":{`...)
	for i, c := range counters {
		if i > 0 {
			line = append(line, ',')
		}
		line = c.append(line)
	}
	return append(line, "}}\n"...)
}

func (m registered) append(line []byte) []byte {
	if m.row != nil {
		return append(line, m.row...)
	}
	typ, header := words(m.value)
	length := reflect.ValueOf(m.value).Len()
	s := read(header, typ)
	if s.live != length {
		panic("truth: " + m.name + ": " + strconv.Itoa(s.live) + " live slots but length " + strconv.Itoa(length))
	}
	return appendMap(line, m.name, reflect.TypeOf(m.value).String(), header, s, false)
}

func appendMap(line []byte, name, typ string, header unsafe.Pointer, s shape, isLocal bool) []byte {
	line = appendText(line, `{"name":`, name)
	line = appendText(line, `,"map":`, "0x"+strconv.FormatUint(uint64(uintptr(header)), 16))
	line = appendText(line, `,"type":`, typ)
	line = appendNumber(line, `,"length":`, *(*uint64)(header)) // the first word of either header
	line = appendNumber(line, `,"live_slots":`, uint64(s.live))
	line = appendNumber(line, `,"slots":`, uint64(bucketSlots*s.buckets))
	line = appendNumber(line, `,"buckets":`, uint64(s.buckets))
	line = appendNumber(line, `,"retained_buckets":`, uint64(s.retained))
	line = append(line, `,"growing":`...)
	line = strconv.AppendBool(line, s.growing)
	line = append(line, `,"local":`...)
	return append(strconv.AppendBool(line, isLocal), '}')
}

func (c *Counter) append(line []byte) []byte {
	line = appendText(line, "", c.function)
	line = appendNumber(line, `:{"inserts":`, c.inserts.Load())
	line = appendNumber(line, `,"updates":`, c.updates.Load())
	line = appendNumber(line, `,"deletes":`, c.deletes.Load())
	line = appendNumber(line, `,"clears":`, c.clears.Load())
	return append(line, '}')
}

func appendText(line []byte, key, text string) []byte {
	return strconv.AppendQuote(append(line, key...), text)
}

func appendNumber(line []byte, key string, number uint64) []byte {
	return strconv.AppendUint(append(line, key...), number, 10)
}

// words returns the two words of an interface that holds a map: its type descriptor and its header.
func words(value any) (typ, header unsafe.Pointer) {
	pair := (*[2]unsafe.Pointer)(unsafe.Pointer(&value))
	return pair[0], pair[1]
}

// add counts a bucket with that many live slots.
func (s *shape) add(live int) {
	s.buckets++
	s.live += live
	if live == 0 {
		s.retained++
	}
}
