// Command lies makes maps whose headers, tables or buckets say what is not so: `lies CASE [busy]`. It says where its
// good maps stand and how long each is, and keeps them until stdin ends; no collection runs meanwhile.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"unsafe"

	"programs/truth"
)

const (
	goodMaps  = 50
	badMaps   = 3000
	entries   = 1000
	bucket    = 8 + 64 + 64 + 8
	wild      = 0xdead000000000000
	farBit    = 1 << 60
	longChain = 2_000_000
)

// header is either implementation's: words that are read as one or the other.
type header struct{ words [6]uintptr }

var (
	good []map[int]int
	bad  []map[int]int
	held [][]uintptr
)

func headerOf(m map[int]int) *header { return *(**header)(unsafe.Pointer(&m)) }

// byteOf returns a byte of a word of a header.
func (h *header) byteOf(word, place int) *uint8 {
	return (*uint8)(unsafe.Add(unsafe.Pointer(&h.words[word]), place))
}

func filled(n int) map[int]int {
	m := map[int]int{}
	for i := 0; i < n; i++ {
		m[i] = i
	}
	return m
}

// swiss: used, seed, directory, its length, then depth and shift as bytes, clears.
func setDirectory(h *header, log2 uint8, length uintptr) {
	h.words[3] = length
	*h.byteOf(4, 0), *h.byteOf(4, 1) = log2, 64-log2
}

func lieSwiss(h *header, what string) {
	directory := *(**unsafe.Pointer)(unsafe.Pointer(&h.words[2]))
	table := *directory // used u16, capacity u16, room u16, depth u8; index; groups, mask
	switch what {
	case "length40":
		setDirectory(h, 40, 1<<40)
	case "length22":
		setDirectory(h, 22, 1<<22)
	case "depth255":
		*h.byteOf(4, 0) = 255
	case "anylength":
		h.words[3] = ^uintptr(0)
	case "used60":
		h.words[0] = farBit
	case "self":
		h.words[2], h.words[3] = uintptr(unsafe.Pointer(h)), 1
	case "wild":
		h.words[2] = wild
	case "mask":
		*(*uint64)(unsafe.Add(table, 24)) = 1<<50 - 1
	case "capacity":
		*(*uint16)(unsafe.Add(table, 2)), *(*uint64)(unsafe.Add(table, 24)) = 0xffff, 0x1fff
	case "tabledepth":
		*(*uint8)(unsafe.Add(table, 6)) = 200
	case "shared": // many maps claim one directory, all of which is one table
		words := make([]uintptr, 1<<18)
		for i := range words {
			words[i] = uintptr(table)
		}
		held = append(held, words)
		for i := 0; i < badMaps; i++ {
			m := filled(100)
			bad = append(bad, m)
			headerOf(m).words[2] = uintptr(unsafe.Pointer(&words[0]))
			setDirectory(headerOf(m), 18, 1<<18)
		}
	}
}

// overflow returns where a bucket has the pointer to the next of its chain.
func overflow(bucketAddr uintptr) *uintptr {
	return (*uintptr)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&bucketAddr)), bucket-8))
}

// classic: count, then flags and log2 as bytes, buckets, old buckets, evacuated, extra.
func lieClassic(h *header, what string) {
	log2, first := h.byteOf(1, 1), h.words[2]
	switch what {
	case "log28":
		*log2 = 28
	case "log34":
		*log2 = 34
	case "log60":
		*log2 = 60
	case "log255":
		*log2 = 255
	case "used60":
		h.words[0] = farBit
	case "cyclic":
		for i := uintptr(0); i < 1<<*log2; i++ {
			*overflow(first + i*bucket) = first
		}
	case "selfcycle":
		words := make([]uintptr, bucket/8)
		held = append(held, words)
		words[bucket/8-1] = uintptr(unsafe.Pointer(&words[0]))
		*overflow(first) = uintptr(unsafe.Pointer(&words[0]))
	case "longchain":
		var previous = overflow(first)
		for i := 0; i < longChain/100; i++ {
			words := make([]uintptr, bucket/8)
			held = append(held, words)
			*previous = uintptr(unsafe.Pointer(&words[0]))
			previous = &words[bucket/8-1]
		}
	case "oldself":
		h.words[3], h.words[4] = first, 0
		*h.byteOf(1, 0) |= 8
	case "evacuated":
		h.words[3], h.words[4] = first, farBit
	case "wild":
		h.words[2] = wild
	case "listed": // its list of overflow buckets says that it is as long as there is memory
		list := []uintptr{first, 1 << 24, 1 << 24}
		extra := []uintptr{uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&list[0])), 0}
		held = append(held, list, extra)
		h.words[3], h.words[5] = first, uintptr(unsafe.Pointer(&extra[0]))
	case "shared":
		for i := 0; i < badMaps; i++ {
			m := filled(100)
			bad = append(bad, m)
			headerOf(m).words[2], *headerOf(m).byteOf(1, 1) = first, *log2
		}
	}
}

// flicker lets headers be anything for a moment, again and again.
func flicker() {
	for n := uint64(0); ; n++ {
		for _, m := range bad {
			h := headerOf(m)
			before := *h
			for i := range h.words {
				h.words[i] = uintptr(truth.Scatter(n*8 + uint64(i)))
			}
			*h = before
		}
	}
}

func main() {
	debug.SetGCPercent(-1) // the collector would stumble over the lies
	for n := 1; n <= goodMaps; n++ {
		good = append(good, filled(20*n))
	}
	m := filled(entries)
	bad = append(bad, m)
	if runtime.Version() >= "go1.24" {
		lieSwiss(headerOf(m), os.Args[1])
	} else {
		lieClassic(headerOf(m), os.Args[1])
	}
	if os.Args[1] == "flicker" {
		bad = append(bad, good[goodMaps/2:]...)
		good = good[:goodMaps/2]
		go flicker()
	}
	line := ""
	for _, m := range good {
		if line != "" {
			line += ","
		}
		line += `"` + strconv.FormatUint(uint64(uintptr(unsafe.Pointer(headerOf(m)))), 10) + `":` + strconv.Itoa(len(m))
	}
	os.Stdout.WriteString(`{"list":{` + line + "}}\n")
	os.Stdin.Read(make([]byte, 1))
}
