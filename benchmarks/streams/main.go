// Do one stream of map operations and print how long it took [ns]: `streams NAME OPERATIONS`. Keys and order are drawn
// beforehand, so that only the maps are timed.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// One operation: insert or update key in one of the maps, or delete key from it.
type operation struct {
	key      uint64
	number   uint32
	isDelete bool
}

//go:noinline
func insert(m map[uint64]uint64, key uint64) { m[key] = key }

//go:noinline
func remove(m map[uint64]uint64, key uint64) { delete(m, key) }

func run(maps []map[uint64]uint64, operations []operation) {
	for i := range operations {
		o := &operations[i]
		if o.isDelete {
			remove(maps[o.number], o.key)
		} else {
			insert(maps[o.number], o.key)
		}
	}
}

func newMaps(n int) []map[uint64]uint64 {
	maps := make([]map[uint64]uint64, n)
	for i := range maps {
		maps[i] = make(map[uint64]uint64)
	}
	return maps
}

// Draw keys, and the operations that insert them, with room for n operations.
func fill(keys, n int) ([]uint64, []operation) {
	drawn := make([]uint64, keys)
	operations := make([]operation, 0, n)
	for i := range drawn {
		drawn[i] = rand.Uint64()
		operations = append(operations, operation{key: drawn[i]})
	}
	return drawn, operations
}

// One map that is filled; then 99 of 100 keys are deleted in random order.
func drain(n int) ([]map[uint64]uint64, []operation) {
	keys, operations := fill(n/2, n)
	for _, i := range rand.Perm(len(keys))[:len(keys)/100*99] {
		operations = append(operations, operation{key: keys[i], isDelete: true})
	}
	return newMaps(1), operations
}

// 10,000 maps that are filled and then take turns: each has a number of inserts and deletes in a row.
func churn(n, burst int) ([]map[uint64]uint64, []operation) {
	maps := newMaps(10000)
	live := make([][]uint64, len(maps))
	operations := make([]operation, 0, n)
	for len(operations) < n {
		number := rand.Intn(len(maps))
		for i := 0; i < burst && len(operations) < n; i++ {
			keys := live[number]
			if fills := len(operations) < n*2/5; fills || len(keys) == 0 || rand.Intn(400) >= len(keys) {
				key := rand.Uint64()
				live[number] = append(keys, key)
				operations = append(operations, operation{key, uint32(number), false})
				continue
			}
			i := rand.Intn(len(keys))
			operations = append(operations, operation{keys[i], uint32(number), true})
			keys[i] = keys[len(keys)-1]
			live[number] = keys[:len(keys)-1]
		}
	}
	return maps, operations
}

// One map that is filled, with at most a million keys, and then updated, few keys often and many seldom.
func zipf(n int) ([]map[uint64]uint64, []operation) {
	keys, operations := fill(min(n/5, 1000000), n)
	ranks := rand.NewZipf(rand.New(rand.NewSource(1)), 1.1, 1, uint64(len(keys)-1))
	for len(operations) < n {
		operations = append(operations, operation{key: keys[ranks.Uint64()]})
	}
	return newMaps(1), operations
}

// Many maps of four keys, each filled at once.
func tiny(n int) []map[uint64]uint64 {
	maps := make([]map[uint64]uint64, n/4)
	for i := range maps {
		m := make(map[uint64]uint64)
		for k := uint64(0); k < 4; k++ {
			insert(m, uint64(i)*0x9E3779B97F4A7C15+k)
		}
		maps[i] = m
	}
	return maps
}

//go:noinline
func insertString(m map[string]uint64, key string) { m[key] = 1 }

//go:noinline
func removeString(m map[string]uint64, key string) { delete(m, key) }

// A cache that holds 100,000 strings: each new key replaces the oldest one.
func lru(keys []string) map[string]uint64 {
	const held = 100000
	m := make(map[string]uint64)
	for i, key := range keys {
		insertString(m, key)
		if i >= held {
			removeString(m, keys[i-held])
		}
	}
	return m
}

func main() {
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	rand.Seed(1)
	var maps []map[uint64]uint64
	var operations []operation
	var keys []string
	switch os.Args[1] {
	case "drain":
		maps, operations = drain(n)
	case "churn":
		maps, operations = churn(n, 1)
	case "bursts":
		maps, operations = churn(n, 16)
	case "zipf":
		maps, operations = zipf(n)
	case "lru":
		keys = make([]string, n/2)
		for i := range keys {
			keys[i] = fmt.Sprintf("user-%015d", i)
		}
	}
	runtime.GC()
	begin := spent()
	switch os.Args[1] {
	case "tiny":
		maps = tiny(n)
	case "lru":
		runtime.KeepAlive(lru(keys))
	default:
		run(maps, operations)
	}
	fmt.Println(spent() - begin)
	runtime.KeepAlive(maps)
}

// spent returns the CPU time of the process [ns], including the collector's.
func spent() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
