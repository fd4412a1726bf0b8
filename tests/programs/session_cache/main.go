//go:build go1.21

// Command session_cache is a small service whose session cache is filled by a rush and drained by expiry.
//
// The cache keeps the buckets of the rush for good; the rate limiter beside it
// holds what it needs and no more. The service runs until -seconds have
// elapsed (0: only the rush), or, without them, until stdin closes.
package main

import (
	"flag"
	"io"
	"os"
	"strconv"
	"time"

	"programs/truth"
)

const (
	clients = 250
	pause   = 20 * time.Millisecond
	perTick = 50
	// loyal is the share of sessions that outlive the rush, one in so many.
	loyal = 50
)

// Session is what the cache knows of a user.
type Session struct {
	User    string
	Expires int
	Visits  int
}

// Cache holds the sessions by token.
type Cache struct {
	sessions map[string]*Session
}

// Limiter counts the requests of each client.
type Limiter struct {
	requests map[uint32]int
}

var (
	seconds = flag.Float64("seconds", -1, "how long to serve after the rush; negative: until stdin closes")

	logins   = truth.Function("main.(*Cache).Login")
	renewals = truth.Function("main.(*Cache).Renew")
	logouts  = truth.Function("main.(*Cache).Logout")
	expiries = truth.Function("main.(*Cache).expire")
	requests = truth.Function("main.(*Limiter).Allow")
	resets   = truth.Function("main.(*Limiter).reset")
)

func token(user int) string {
	return strconv.FormatUint(truth.Scatter(uint64(user))|1<<63, 16)
}

// Login opens a session.
//
//go:noinline
func (c *Cache) Login(user, expires int) {
	key := token(user)
	_, there := c.sessions[key]
	logins.Assign(there)
	c.sessions[key] = &Session{User: "user " + strconv.Itoa(user), Expires: expires}
}

// Renew replaces a session by a longer one.
//
//go:noinline
func (c *Cache) Renew(user, expires int) {
	key := token(user)
	session, there := c.sessions[key]
	if !there {
		return
	}
	renewals.Assign(there)
	c.sessions[key] = &Session{User: session.User, Expires: expires, Visits: session.Visits + 1}
}

// Logout closes a session.
//
//go:noinline
func (c *Cache) Logout(user int) {
	key := token(user)
	_, there := c.sessions[key]
	logouts.Delete(there)
	delete(c.sessions, key)
}

// expire deletes the sessions whose time has come.
//
//go:noinline
func (c *Cache) expire(now int) {
	for key, session := range c.sessions {
		if session.Expires <= now {
			expiries.Delete(true)
			delete(c.sessions, key)
		}
	}
}

// Allow counts a request of a client.
//
//go:noinline
func (l *Limiter) Allow(client uint32) bool {
	_, there := l.requests[client]
	requests.Assign(there)
	l.requests[client]++
	return l.requests[client] < 1000
}

// reset begins a new period.
//
//go:noinline
func (l *Limiter) reset() {
	resets.Clear(len(l.requests))
	clear(l.requests)
}

type service struct {
	cache   Cache
	limiter Limiter
	clock   int
	users   int
}

// rush lets n users in at once, a few of whom stay.
func (s *service) rush(n int) {
	for ; s.users < n; s.users++ {
		s.limiter.Allow(uint32(s.users % clients))
		s.cache.Login(s.users, s.clock+1)
		if s.users%loyal == 0 {
			s.cache.Renew(s.users, s.clock+1_000_000)
		}
	}
	s.clock++
	s.cache.expire(s.clock)
}

// tick is a quiet moment: as many users come as leave.
func (s *service) tick() {
	for i := 0; i < perTick; i++ {
		s.limiter.Allow(uint32(s.users % clients))
		s.cache.Login(s.users, s.clock+10)
		s.cache.Logout(s.users - perTick)
		s.users++
	}
	s.clock++
	s.cache.expire(s.clock)
	if s.clock%100 == 0 {
		s.limiter.reset()
	}
}

// closing returns a channel that closes when it is time to stop.
func closing() <-chan struct{} {
	done := make(chan struct{})
	if *seconds < 0 {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(done)
		}()
	} else {
		time.AfterFunc(time.Duration(*seconds*float64(time.Second)), func() { close(done) })
	}
	return done
}

func (s *service) serve() {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for done := closing(); ; {
		select {
		case <-done:
			return
		case <-ticker.C:
			s.tick()
		}
	}
}

func work(ops int) {
	s := &service{
		cache:   Cache{sessions: make(map[string]*Session)},
		limiter: Limiter{requests: make(map[uint32]int)},
	}
	truth.Map("sessions", s.cache.sessions)
	truth.Map("requests", s.limiter.requests)
	s.rush(ops / 3)
	if *seconds != 0 {
		s.serve()
	}
}

func main() {
	truth.Run(work)
}
