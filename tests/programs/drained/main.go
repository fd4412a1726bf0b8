// Command drained fills a map and empties it but for a few entries, says so, and goes on to write to it until stdin
// ends: `drained ENTRIES PAUSE`, a pause between one entry that comes and goes and the next.
package main

import (
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"
)

const kept = 500

type session struct{ started, seen, user uint64 }

var sessions = map[uint64]session{}

func login(n uint64)  { sessions[n] = session{n, n, n} }
func logout(n uint64) { delete(sessions, n) }

func serve(next uint64, pause time.Duration) {
	for n := next; ; n++ {
		login(n)
		logout(n)
		if pause > 0 {
			time.Sleep(pause)
		}
	}
}

func main() {
	runtime.MemProfile(nil, true) // a program that names it has the profile on from its start
	entries, _ := strconv.ParseUint(os.Args[1], 10, 64)
	pause, _ := time.ParseDuration(os.Args[2])
	for n := uint64(0); n < entries; n++ {
		login(n)
	}
	for n := uint64(kept); n < entries; n++ {
		logout(n)
	}
	addr := strconv.FormatUint(uint64(*(*uintptr)(unsafe.Pointer(&sessions))), 10)
	os.Stdout.WriteString(`{"map":` + addr + `,"kept":` + strconv.Itoa(kept) + "}\n")
	go serve(entries, pause)
	os.Stdin.Read(make([]byte, 1))
}
