// An index of documents by tenant: with the last document of a tenant the tenant's map is deleted.
package main

import (
	"fmt"
	"runtime"
)

type index struct {
	tenants map[string]map[uint64]int
}

//go:noinline
func (x *index) put(tenant string, document uint64, place int) {
	documents := x.tenants[tenant]
	if documents == nil {
		documents = make(map[uint64]int)
		x.tenants[tenant] = documents
	}
	documents[document] = place
}

//go:noinline
func (x *index) remove(tenant string, document uint64) {
	documents := x.tenants[tenant]
	delete(documents, document)
	if len(documents) == 0 {
		delete(x.tenants, tenant)
	}
}

var x = &index{tenants: make(map[string]map[uint64]int)}

func main() {
	for tenant := 0; tenant < 500; tenant++ {
		for document := 0; document < 200; document++ {
			x.put(fmt.Sprint("tenant-", tenant), uint64(document), document)
		}
	}
	for tenant := 0; tenant < 450; tenant++ { // most of them leave
		for document := 0; document < 200; document++ {
			x.remove(fmt.Sprint("tenant-", tenant), uint64(document))
		}
	}
	runtime.GC() // a running service has a collection sooner or later
	documents := 0
	for _, its := range x.tenants {
		documents += len(its)
	}
	fmt.Println(documents, "documents")
}
