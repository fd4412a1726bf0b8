// Command crowd fills a heap with maps of three sizes and with other objects as large as a map's header, says so, and
// keeps them until stdin ends: what a census has to find, and what it must not take for maps. Some maps may be written
// all the time, while the collector runs.
package main

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"programs/truth"
)

// lookalike is as large as a map's header, and may hold the same: it is laid out as one.
type lookalike struct {
	words [2]uint64
	point *[25]uint64
	more  [3]uint64
}

// shelf is so large that the allocator keeps its type, and holds maps that only their elements' types tell apart.
type shelf struct {
	room    [80]*int
	signs   [2]map[uint16]int32
	counts  struct{ first, second map[uint16]uint32 }
	nothing struct{}
}

const window = 1000

type holder struct {
	next *holder
	data [5]uint64
}

var (
	large   []map[uint64]uint64
	middle  []map[string]*holder
	small   []map[uint64]uint64
	like    []*lookalike
	holders []*holder
	target  = new([25]uint64)
	hot     []map[int32]int32
	shelves []*shelf
	garbage []byte
)

func fillLarge(entries int) {
	m := make(map[uint64]uint64)
	for i := uint64(0); i < uint64(entries); i++ {
		m[truth.Scatter(i)] = i
	}
	for i := uint64(0); i < uint64(entries)*9/10; i++ {
		delete(m, truth.Scatter(i))
	}
	large = append(large, m)
}

func fillMiddle(maps int) {
	for n := 0; n < maps; n++ {
		m := make(map[string]*holder)
		for i := 0; i < 100; i++ {
			m[strconv.Itoa(i*(n+1))] = &holder{}
		}
		middle = append(middle, m)
	}
}

func fillShelves(n int) {
	for ; n > 0; n-- {
		s := &shelf{}
		for i := range s.signs {
			s.signs[i] = map[uint16]int32{1: 2, 3: 4}
		}
		s.counts.first, s.counts.second = map[uint16]uint32{5: 6}, map[uint16]uint32{}
		for i := uint16(0); i < 100; i++ {
			s.counts.second[i] = 1
		}
		shelves = append(shelves, s)
	}
}

// shelved returns the address and the type of every map on a shelf.
func shelved() string {
	text := ""
	add := func(addr unsafe.Pointer, name string) {
		if text != "" {
			text += ","
		}
		text += `"` + strconv.FormatUint(uint64(*(*uintptr)(addr)), 10) + `":"` + name + `"`
	}
	for _, s := range shelves {
		for i := range s.signs {
			add(unsafe.Pointer(&s.signs[i]), "map[uint16]int32")
		}
		add(unsafe.Pointer(&s.counts.first), "map[uint16]uint32")
		add(unsafe.Pointer(&s.counts.second), "map[uint16]uint32")
	}
	return text
}

func fillSmall(maps int) {
	for n := 0; n < maps; n++ {
		m := make(map[uint64]uint64)
		for i := 0; i < n%12; i++ {
			m[truth.Scatter(uint64(i*n))] = uint64(i)
		}
		small = append(small, m)
	}
}

// imitate makes objects that look like headers in every way but one.
func imitate(objects int) {
	for n := 0; n < objects; n++ {
		l := &lookalike{}
		seed := truth.Scatter(uint64(n))
		switch n % 4 {
		case 0: // an empty map that was never written
			l.words[1] = seed
		case 1: // a small Swiss map, or a classic one of one bucket, that leads to something else
			l.words[0], l.words[1], l.point = uint64(n%8), seed&^0xffffffff, target
		case 2: // a Swiss map of one table
			l.words[0], l.words[1], l.point = uint64(n), seed, target
			l.more[0], l.more[1] = 1, 64<<8
		default: // a classic map that grows
			l.words[0], l.words[1], l.point = uint64(n), 2<<8|seed&^0xffffffff, target
			l.more[1] = 1
		}
		like = append(like, l)
	}
}

// keepBusy slides over a map for ever: it holds window entries, or one more.
func keepBusy(m map[int32]int32) {
	for i := int32(window); ; i++ {
		m[i] = i
		delete(m, i-window)
	}
}

func startBusy(maps int) {
	for n := 0; n < maps; n++ {
		m := make(map[int32]int32)
		for i := int32(0); i < window; i++ {
			m[i] = i
		}
		hot = append(hot, m)
		go keepBusy(m)
	}
	if maps > 0 {
		go func() {
			for {
				garbage = make([]byte, 1<<16)
				runtime.GC()
			}
		}()
	}
}

func fillHolders(objects int) {
	for n := 0; n < objects; n++ {
		holders = append(holders, &holder{data: [5]uint64{truth.Scatter(uint64(n))}})
	}
}

func main() {
	entries := flag.Int("entries", 0, "of each of two large maps, of which nine in ten are deleted")
	middles := flag.Int("middle", 0, "maps of 100 entries")
	smalls := flag.Int("small", 0, "maps of 0 to 11 entries")
	likes := flag.Int("like", 0, "objects that look like headers")
	busy := flag.Int("busy", 0, "maps of 1000 entries that are written all the time")
	list := flag.Bool("list", false, "say where each map stands, and its length")
	shelf := flag.Int("shelves", 0, "large structs, each with four maps, which are not counted")
	others := flag.Int("others", 0, "other objects of a header's size")
	flag.Parse()
	runtime.MemProfile(nil, true) // a program that names it has the profile on from its start
	if *entries > 0 {
		fillLarge(*entries)
		fillLarge(*entries)
	}
	fillMiddle(*middles)
	fillSmall(*smalls)
	imitate(*likes)
	fillHolders(*others)
	fillShelves(*shelf)
	addrs := addresses(*busy)
	maps, live, written := 0, 0, 0
	for _, m := range large {
		maps, live, written = maps+1, live+len(m), written+1
	}
	for _, m := range middle {
		maps, live, written = maps+1, live+len(m), written+1
	}
	for _, m := range small {
		maps, live = maps+1, live+len(m)
		if len(m) > 0 {
			written++
		}
	}
	line := `{"maps":` + strconv.Itoa(maps) + `,"written":` + strconv.Itoa(written) + `,"live":` + strconv.Itoa(live)
	if *list {
		line += `,"list":{` + listed() + "}"
	}
	if *shelf > 0 {
		line += `,"shelved":{` + shelved() + "}"
	}
	os.Stdout.WriteString(line + `,"busy":[` + addrs + "]}\n")
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(like)
}

// listed returns the address and the length of every map.
func listed() string {
	text := []byte{}
	add := func(addr unsafe.Pointer, length int) {
		if len(text) > 0 {
			text = append(text, ',')
		}
		text = append(strconv.AppendUint(append(text, '"'), uint64(*(*uintptr)(addr)), 10), '"', ':')
		text = strconv.AppendInt(text, int64(length), 10)
	}
	for i := range large {
		add(unsafe.Pointer(&large[i]), len(large[i]))
	}
	for i := range middle {
		add(unsafe.Pointer(&middle[i]), len(middle[i]))
	}
	for i := range small {
		add(unsafe.Pointer(&small[i]), len(small[i]))
	}
	return string(text)
}

// addresses starts to write maps, and says where they stand.
func addresses(maps int) string {
	startBusy(maps)
	text := ""
	for i := range hot {
		if i > 0 {
			text += ","
		}
		text += strconv.FormatUint(uint64(*(*uintptr)(unsafe.Pointer(&hot[i]))), 10)
	}
	return text
}
