//go:build go1.21

package main

// initializer is where the literals of package variables are written.
const initializer = "main.map.init.0"
