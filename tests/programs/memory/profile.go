//go:build profile

package main

import (
	"fmt"
	"runtime"
	"strings"
)

// profile returns what the memory profile says is in use by what fill allocated.
func profile() string {
	records := make([]runtime.MemProfileRecord, 10_000)
	n, ok := runtime.MemProfile(records, false)
	if !ok {
		panic("too many records")
	}
	var sum int64
	for _, record := range records[:n] {
		frames := runtime.CallersFrames(record.Stack())
		for more := true; more; {
			var frame runtime.Frame
			if frame, more = frames.Next(); strings.HasSuffix(frame.Function, ".fill") {
				sum += record.InUseBytes()
			}
		}
	}
	return fmt.Sprint(sum)
}
