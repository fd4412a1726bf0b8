// Command maker makes small maps all the time, as a server does for each request, and a large one now and then, until
// stdin ends.
package main

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
)

const (
	// kept is how many maps live at one time.
	kept = 1000
	// rare is how many maps are made for one that grows.
	rare = 5000
	// grown is how many entries that gets.
	grown = 100
)

type request struct {
	headers map[string]string
}

var (
	recent [kept]*request
	large  map[int]int
	ended  atomic.Bool
)

//go:noinline
func serve(n int) *request {
	r := &request{headers: map[string]string{}}
	for i := 0; i < 4; i++ {
		r.headers["header "+strconv.Itoa(n%100+i)] = "value"
	}
	return r
}

//go:noinline
func grow(n int) map[int]int {
	m := map[int]int{}
	for i := 0; i < grown; i++ {
		m[n+i] = i
	}
	return m
}

func main() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	os.Stdout.WriteString("ready\n")
	for n := 0; !ended.Load(); n++ {
		recent[n%kept] = serve(n)
		if n%rare == 0 {
			large = grow(n)
		}
	}
	runtime.KeepAlive(&recent)
}
