// Package nearest finds the name that was probably meant, for errors about a
// name that is not known.
package nearest

// maxBytes bounds text from outside, in a message and in the work for it: three
// times the longest name that is looked for.
const maxBytes = 128

// Of returns which of names was probably meant by name: the one that takes the
// fewest edits, the first among equals, "" if there are none. It takes at most
// maxBytes steps per byte of names.
func Of(name string, names []string) string {
	name = Shorten(name)
	best, bestDistance := "", -1
	for _, candidate := range names {
		if d := distance(name, candidate); bestDistance < 0 || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// Shorten bounds text from outside for a message.
func Shorten(s string) string {
	if len(s) <= maxBytes {
		return s
	}
	return s[:maxBytes] + "..."
}

// distance returns the Levenshtein distance of a and b: how many bytes have to
// be inserted, deleted or replaced to make one of the other. It takes
// len(a)*len(b) steps.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of what was read of a to each head of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
