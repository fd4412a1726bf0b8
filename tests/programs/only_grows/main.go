// Command only_grows keeps a table of connections that nobody takes out again: all of it lives, no bucket is empty.
//
// It says "ready" when the table is large, and goes on to fill it, a thousand
// connections a second at most.
package main

import (
	"fmt"
	"time"
)

type packet struct {
	local, remote [4]byte
	localPort     uint16
	remotePort    uint16
	protocol      uint8
	isFragment    bool
}

type connection struct {
	expires  time.Time
	sequence uint32
	incoming bool
}

type firewall struct {
	connections map[packet]*connection
}

//go:noinline
func (f *firewall) add(p packet) { f.connections[p] = &connection{expires: time.Now()} }

var wall = &firewall{map[packet]*connection{}}

const filled = 300_000

func main() {
	for n := 0; ; n++ {
		local := [4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}
		wall.add(packet{local: local, remote: [4]byte{1}, localPort: uint16(n), remotePort: 443, protocol: 6})
		if n == filled {
			fmt.Println("ready")
		}
		if n > filled {
			time.Sleep(time.Millisecond)
		}
	}
}
