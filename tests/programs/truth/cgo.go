//go:build cgo

package truth

// Linking C makes every program that is built with CGO_ENABLED=1 one that the system's linker links.

import "C"
