// Command literals makes maps by literals: up to 25 entries are written one by one, more by a loop over arrays.
package main

import "programs/truth"

// months is written before main begins.
var months = map[string]int{
	"jan": 31, "feb": 28, "mar": 31, "apr": 30, "may": 31, "jun": 30,
	"jul": 31, "aug": 31, "sep": 30, "oct": 31, "nov": 30, "dec": 31,
}

var (
	made []map[int32]string
	sum  int

	initial = truth.Function(initializer)
	small   = truth.Function("main.makeSmall")
	large   = truth.Function("main.makeLarge")
	counted = truth.Function("main.countLocal")
)

//go:noinline
func makeSmall() map[int32]string {
	small.Inserts(10)
	return map[int32]string{
		1: "one", 2: "two", 3: "three", 4: "four", 5: "five",
		6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten",
	}
}

//go:noinline
func makeLarge() map[int32]string {
	large.Inserts(30)
	return map[int32]string{
		1: "a", 2: "b", 3: "c", 4: "d", 5: "e", 6: "f", 7: "g", 8: "h", 9: "i", 10: "j",
		11: "k", 12: "l", 13: "m", 14: "n", 15: "o", 16: "p", 17: "q", 18: "r", 19: "s", 20: "t",
		21: "u", 22: "v", 23: "w", 24: "x", 25: "y", 26: "z", 27: "aa", 28: "ab", 29: "ac", 30: "ad",
	}
}

// countLocal makes a map that does not escape, and empties it again.
//
//go:noinline
func countLocal(key string) int {
	counted.Inserts(3)
	counted.Deletes(3)
	colours := map[string]int{"red": 1, "green": 2, "blue": 3}
	found := colours[key]
	delete(colours, "red")
	delete(colours, "green")
	delete(colours, "blue")
	return found
}

func work(ops int) {
	truth.Map("months", months)
	initial.Inserts(len(months))
	for done := 12; done < ops; done += 46 {
		few, many := makeSmall(), makeLarge()
		if len(made) < 20 {
			truth.Map("few", few)
			truth.Map("many", many)
		}
		made = append(made, few, many)
		sum += countLocal("green")
	}
}

func main() {
	truth.Run(work)
}
