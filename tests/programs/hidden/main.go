// Command hidden keeps entries in sync.Maps, which from Go 1.24 on are no maps inside, and waits for its input to end.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
)

type provider struct {
	name    string
	deleted sync.Map
}

var (
	shared sync.Map
	empty  sync.Map
	unused sync.Map
	pods   = &provider{name: "pods"}
)

func main() {
	entries := flag.Int("entries", 1000, "how many each of two maps holds")
	flag.Parse()
	for n := 0; n < *entries; n++ {
		shared.Store(n, "value")
		pods.deleted.Store(fmt.Sprint("pod-", n), n)
	}
	empty.Store(1, 1)
	empty.Delete(1)
	unused.Range(func(_, _ any) bool { return true })
	fmt.Println(os.Getpid())
	io.Copy(io.Discard, os.Stdin)
}
