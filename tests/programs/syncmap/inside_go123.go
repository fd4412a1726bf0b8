//go:build !go1.24

package main

import (
	"reflect"
	"sync"
	"unsafe"

	"programs/truth"
)

// register registers the two maps of a sync.Map.
//
// go: sync/map.go Map, readOnly [1.19..1.23]
func register(m *sync.Map) {
	fields := reflect.ValueOf(m).Elem()
	registerUnlessNil("dirty", open(fields.FieldByName("dirty")))
	loaded := open(fields.FieldByName("read")).Addr().MethodByName("Load").Call(nil)[0]
	if loaded.Kind() == reflect.Interface {
		loaded = loaded.Elem() // of an atomic.Value
	}
	if loaded = reflect.Indirect(loaded); loaded.IsValid() {
		snapshot := reflect.New(loaded.Type()).Elem()
		snapshot.Set(loaded)
		registerUnlessNil("read", open(snapshot.FieldByName("m")))
	}
}

func registerUnlessNil(name string, m reflect.Value) {
	if !m.IsNil() {
		truth.Map(name, m.Interface())
	}
}

// open returns a field that isn't exported so that it can be used.
func open(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
}
