package main

// nearest returns which of names was probably meant: the one that takes the
// fewest edits, the first among equals, "" if there are none.
func nearest(name string, names []string) string {
	name = shorten(name)
	best, bestDistance := "", -1
	for _, candidate := range names {
		if d := distance(name, candidate); bestDistance < 0 || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance returns the Levenshtein distance of a and b in bytes. It takes
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

// shorten bounds text from outside for a message.
func shorten(s string) string {
	const maxBytes = 128
	if len(s) <= maxBytes {
		return s
	}
	return s[:maxBytes] + "..."
}
