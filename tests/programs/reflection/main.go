// Command reflection writes maps through reflect, and through encoding/json, which uses it.
package main

import (
	"encoding/json"
	"reflect"
	"strconv"

	"programs/truth"
)

type account struct {
	Name  string
	Roles map[string]bool
	Notes map[string]any
}

var (
	sized  = reflect.MakeMapWithSize(reflect.TypeOf(map[string]int(nil)), 50)
	plain  = reflect.MakeMap(reflect.TypeOf(map[uint64]*account(nil)))
	copied = reflect.MakeMap(reflect.TypeOf(map[string]int(nil)))
	// composed is of a type that the program does not have.
	composed = reflect.MakeMap(reflect.MapOf(reflect.TypeOf([2]int16{}), reflect.TypeOf("")))

	setCount     = truth.Function("main.set")
	droppedCount = truth.Function("main.drop")
	copiedCount  = truth.Function("main.copyAll")
)

//go:noinline
func set(m, key, value reflect.Value) {
	setCount.Assign(m.MapIndex(key).IsValid())
	m.SetMapIndex(key, value)
}

// drop deletes, as reflect does where the value is none.
//
//go:noinline
func drop(m, key reflect.Value) {
	droppedCount.Delete(m.MapIndex(key).IsValid())
	m.SetMapIndex(key, reflect.Value{})
}

// copyAll takes keys and values from an iterator.
//
//go:noinline
func copyAll(to, from reflect.Value) {
	key := reflect.New(from.Type().Key()).Elem()
	value := reflect.New(from.Type().Elem()).Elem()
	for entries := from.MapRange(); entries.Next(); {
		key.SetIterKey(entries)
		value.SetIterValue(entries)
		copiedCount.Assign(to.MapIndex(key).IsValid())
		to.SetMapIndex(key, value)
	}
}

func fill(n int) {
	for i := 0; i < n; i++ {
		number := reflect.ValueOf(i)
		text := reflect.ValueOf(strconv.Itoa(i % (n*3/4 + 1)))
		set(sized, text, number)
		set(plain, reflect.ValueOf(uint64(i)), reflect.ValueOf(&account{}))
		set(composed, reflect.ValueOf([2]int16{int16(i), int16(i >> 15)}), text)
		if i%2 == 0 {
			drop(sized, reflect.ValueOf(strconv.Itoa(i/3)))
			drop(composed, reflect.ValueOf([2]int16{int16(i / 4)}))
		}
	}
}

// decode lets encoding/json make and fill maps.
func decode() {
	var user account
	if err := json.Unmarshal([]byte(text()), &user); err != nil {
		panic(err)
	}
	truth.Map("roles", user.Roles)
	truth.Map("notes", user.Notes)
	truth.Map("inner", user.Notes["inner"])
}

func text() string {
	roles, notes := "", ""
	for i := 0; i < 20; i++ {
		roles += `"role ` + strconv.Itoa(i%15) + `": true,`
		notes += `"note ` + strconv.Itoa(i) + `": [1, 2, "three"],`
	}
	return `{"Name": "ann", "Roles": {` + roles + `"last": false}, "Notes": {` + notes + `"inner": {"a": 1, "b": {}}}}`
}

func work(ops int) {
	truth.Map("sized", sized.Interface())
	truth.Map("plain", plain.Interface())
	truth.Map("composed", composed.Interface())
	truth.Map("copied", copied.Interface())
	fill(ops / 5)
	copyAll(copied, sized)
	copyAll(copied, sized)
	decode()
}

func main() {
	truth.Run(work)
}
