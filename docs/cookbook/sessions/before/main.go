// A session cache that a rush fills and expiry drains.
package main

import (
	"fmt"
	"runtime"
	"time"
)

type session struct {
	user    int
	expires time.Duration // since the start
}

type cache struct {
	sessions map[string]*session
}

//go:noinline
func (c *cache) login(user int, expires time.Duration) {
	c.sessions[fmt.Sprintf("token-%d", user)] = &session{user, expires}
}

//go:noinline
func (c *cache) expire(now time.Duration) {
	for token, s := range c.sessions {
		if s.expires <= now {
			delete(c.sessions, token)
		}
	}
}

var c = &cache{sessions: make(map[string]*session)}

func main() {
	for user := 0; user < 50_000; user++ {
		expires := time.Hour
		if user%100 == 0 { // one in a hundred stays
			expires = 24 * time.Hour
		}
		c.login(user, expires)
	}
	c.expire(2 * time.Hour)
	runtime.GC() // a running service has a collection sooner or later
	fmt.Println(len(c.sessions), "sessions")
}
