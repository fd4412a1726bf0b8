// Command named fills many maps of named types and of the types that they are made of, empties them but for one entry
// each, says where they stand, and goes on to write to those of named types until stdin ends.
package main

import (
	"os"
	"strconv"
	"time"
	"unsafe"
)

// Set and Header are maps with names of their own, as those of libraries are.
type (
	Set    map[string]struct{}
	Header map[string][]string
)

const entries = 20

var (
	sets    = map[string]Set{}
	headers = map[string]Header{}
	plain   = map[string]map[string]struct{}{}
	lists   = map[string]map[string][]string{}
	loose   any
)

func fill(name string) {
	sets[name], headers[name] = Set{}, Header{}
	plain[name], lists[name] = map[string]struct{}{}, map[string][]string{}
	for n := 0; n < entries; n++ {
		key := strconv.Itoa(n)
		sets[name][key], headers[name][key] = struct{}{}, nil
		plain[name][key], lists[name][key] = struct{}{}, nil
	}
	for n := 1; n < entries; n++ {
		key := strconv.Itoa(n)
		delete(sets[name], key)
		delete(headers[name], key)
		delete(plain[name], key)
		delete(lists[name], key)
	}
}

func main() {
	maps, _ := strconv.Atoi(os.Args[1])
	names := make([]string, maps)
	for n := range names {
		names[n] = "name-" + strconv.Itoa(n)
		fill(names[n])
	}
	loose = plain
	line := []byte(`{`)
	add := func(addr uintptr, name string) {
		if len(line) > 1 {
			line = append(line, ',')
		}
		line = append(append(strconv.AppendUint(append(line, '"'), uint64(addr), 10), `":"`...), name+`"`...)
	}
	for _, m := range sets {
		add(*(*uintptr)(unsafe.Pointer(&m)), "main.Set")
	}
	for _, m := range headers {
		add(*(*uintptr)(unsafe.Pointer(&m)), "main.Header")
	}
	for _, m := range plain {
		add(*(*uintptr)(unsafe.Pointer(&m)), "map[string]struct {}")
	}
	for _, m := range lists {
		add(*(*uintptr)(unsafe.Pointer(&m)), "map[string][]string")
	}
	os.Stdout.WriteString(string(line) + "}\n")
	go func() {
		for n := 0; ; n++ {
			name := names[n%maps]
			sets[name]["x"], headers[name]["x"] = struct{}{}, nil
			delete(sets[name], "x")
			delete(headers[name], "x")
			time.Sleep(5 * time.Millisecond)
		}
	}()
	os.Stdin.Read(make([]byte, 1))
}
