// Command strings fills, updates, deletes and tallies in maps with string keys.
package main

import (
	"strconv"

	"programs/truth"
)

type session struct {
	user   string
	visits int
}

var (
	sessions = make(map[string]*session)
	visits   = make(map[string]int)
	seen     = make(map[string]struct{})

	filled  = truth.Function("main.fill")
	updated = truth.Function("main.update")
	deleted = truth.Function("main.remove")
	tallied = truth.Function("main.tally")
	marked  = truth.Function("main.mark")
)

func user(i int) string {
	return "user-" + strconv.Itoa(i)
}

//go:noinline
func fill(n int) {
	for i := 0; i < n; i++ {
		key := user(i)
		_, there := sessions[key]
		filled.Assign(there)
		sessions[key] = &session{user: key}
	}
}

// update writes keys of which one in eight is not there yet.
//
//go:noinline
func update(n, known int) {
	for i := 0; i < n; i++ {
		key := user(3 * i % (known + known/7))
		_, there := sessions[key]
		updated.Assign(there)
		sessions[key] = &session{user: key, visits: i}
	}
}

// remove deletes keys of which every other one is not there (any more).
//
//go:noinline
func remove(n, known int) {
	for i := 0; i < n; i++ {
		key := user(5 * i % (2 * known))
		_, there := sessions[key]
		deleted.Delete(there)
		delete(sessions, key)
	}
}

//go:noinline
func tally(n int) {
	for i := 0; i < n; i++ {
		key := user(i * i % 97)
		_, there := visits[key]
		tallied.Assign(there)
		visits[key]++
	}
}

//go:noinline
func mark(n int) {
	for i := 0; i < n; i++ {
		key := user(i / 2)
		_, there := seen[key]
		marked.Assign(there)
		seen[key] = struct{}{}
	}
}

func work(ops int) {
	truth.Map("sessions", sessions)
	truth.Map("visits", visits)
	truth.Map("seen", seen)
	known := ops * 2 / 5
	fill(known)
	update(ops/5, known)
	remove(ops/5, known)
	tally(ops / 10)
	mark(ops / 10)
}

func main() {
	truth.Run(work)
}
