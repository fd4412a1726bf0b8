// The same cache; when few sessions are left, expiry moves them to a map of their number.
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
	peak     int // most sessions since the map was made
}

//go:noinline
func (c *cache) login(user int, expires time.Duration) {
	c.sessions[fmt.Sprintf("token-%d", user)] = &session{user, expires}
	c.peak = max(c.peak, len(c.sessions))
}

//go:noinline
func (c *cache) expire(now time.Duration) {
	for token, s := range c.sessions {
		if s.expires <= now {
			delete(c.sessions, token)
		}
	}
	if len(c.sessions) < c.peak/4 {
		c.rebuild()
	}
}

// rebuild moves the sessions to a map of their number: a map never shrinks.
//
//go:noinline
func (c *cache) rebuild() {
	fresh := make(map[string]*session, len(c.sessions))
	for token, s := range c.sessions {
		fresh[token] = s
	}
	c.sessions, c.peak = fresh, len(fresh)
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
