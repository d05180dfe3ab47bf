package brokerconfig

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// valid says which values a key takes, in words and as a function of a value
// without white space around it.
type valid struct {
	words   string
	accepts func(value string) bool
}

// anyText accepts everything.
func anyText() valid { return valid{"", func(string) bool { return true }} }

// anyBoolean accepts true and false in any case.
func anyBoolean() valid {
	return valid{"", func(value string) bool { return strings.EqualFold(value, "true") || strings.EqualFold(value, "false") }}
}

// integers accepts integers of the given width from least to most, and those of
// others.
func integers(bits int, words string, least, most int64, others ...int64) valid {
	return valid{words, func(value string) bool {
		n, err := strconv.ParseInt(value, 10, bits)
		if err != nil {
			return false
		}
		for _, other := range others {
			if n == other {
				return true
			}
		}
		return least <= n && n <= most
	}}
}

// atLeast accepts integers of the given width from least on.
func atLeast(bits int, least int64) valid {
	return integers(bits, fmt.Sprintf("at least %d", least), least, math.MaxInt64)
}

// anyInteger accepts integers of the given width.
func anyInteger(bits int) valid { return integers(bits, "", math.MinInt64, math.MaxInt64) }

// oneDirectory accepts a list of one item.
func oneDirectory() valid {
	return valid{"one directory", func(value string) bool { return value != "" && !strings.Contains(value, ",") }}
}

// connections accepts a bound of connections, or Kafka's way to say that there
// is none.
func connections() valid {
	return integers(32, "1 to 1048576, or 2147483647 for the most that there may be", 1, 1<<20, math.MaxInt32)
}
