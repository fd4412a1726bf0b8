//go:build !profile

package main

// profile is not there: a program that asks for no profile is built without one, as most are.
func profile() string { panic("build with -tags=profile") }
