// Command presized makes tables with room for all flows that there may ever be, and uses a handful of slots.
//
// It says "ready" when they are made; with the word "drained" the large table
// was full once instead, and its entries were deleted one by one.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"
)

type tuple struct {
	protocol            uint8
	source, destination netip.AddrPort
}

type flow struct{ seen int64 }

type flowTable struct {
	outbound, inbound map[tuple]*flow
}

const few, many = 10_000, 60_000

//go:noinline
func newFlowTable(most int) *flowTable {
	return &flowTable{make(map[tuple]*flow, most), make(map[tuple]*flow, most)}
}

//go:noinline
func (t *flowTable) drain() {
	t.outbound = map[tuple]*flow{}
	for n := 0; n < many; n++ {
		t.outbound[tupleOf(n)] = nil
	}
	for n := 0; n < many; n++ {
		delete(t.outbound, tupleOf(n))
	}
}

func tupleOf(n int) tuple {
	host := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return tuple{protocol: 6, source: netip.AddrPortFrom(host, 80)}
}

var client, connector *flowTable

func main() {
	client = newFlowTable(few)
	if len(os.Args) > 1 && os.Args[1] == "drained" {
		connector = &flowTable{}
		connector.drain()
	} else {
		connector = newFlowTable(many)
	}
	fmt.Println("ready")
	for n := 0; ; n++ {
		client.outbound[tupleOf(n%5)] = &flow{1}
		time.Sleep(20 * time.Millisecond)
	}
}
