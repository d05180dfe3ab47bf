package verify

import (
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/record"
)

// segmentName splits <20 digits><suffix>; suffix is "" if the name has another
// form.
func segmentName(name string) (base record.Offset, suffix string) {
	digits, rest, ok := strings.Cut(name, ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || len(digits) != 20 || err != nil || n < 0 || digits[0] == '+' {
		return 0, ""
	}
	return record.Offset(n), "." + rest
}

// decimal reads a number of 0 to limit without sign and leading zeros.
func decimal(s string, limit int64) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= limit && strconv.FormatInt(n, 10) == s
}
