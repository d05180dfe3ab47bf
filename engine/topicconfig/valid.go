package topicconfig

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// valid says which values a key takes, in words and as a function of a value
// without white space around it.
type valid struct {
	words   string
	accepts func(value string) bool
}

// parseBoolean reads true and false in any case.
func parseBoolean(value string) (_, ok bool) {
	return strings.EqualFold(value, "true"), strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
}

// anyBoolean accepts what parseBoolean reads.
func anyBoolean() valid {
	return valid{"", func(value string) bool { _, ok := parseBoolean(value); return ok }}
}

// integers accepts integers of the given width from least to most.
func integers(bits int, words string, least, most int64) valid {
	return valid{words, func(value string) bool {
		n, err := strconv.ParseInt(value, 10, bits)
		return err == nil && least <= n && n <= most
	}}
}

// atLeast accepts integers of the given width from least on.
func atLeast(bits int, least int64) valid {
	return integers(bits, fmt.Sprintf("at least %d", least), least, math.MaxInt64)
}

// fraction accepts numbers from 0 to 1.
func fraction() valid {
	return valid{"0 to 1", func(value string) bool {
		x, err := strconv.ParseFloat(value, 64)
		return err == nil && 0 <= x && x <= 1 // false for NaN
	}}
}

// oneOf accepts the words themselves.
func oneOf(words ...string) valid {
	return valid{"one of " + strings.Join(words, ", "), func(value string) bool { return slices.Contains(words, value) }}
}

// listOf accepts lists of the words, also the empty list. Kafka drops
// duplicates, so they are no error.
func listOf(words ...string) valid {
	return valid{"any of " + strings.Join(words, ", ") + ", may be empty", func(value string) bool {
		for _, item := range items(value) {
			if !slices.Contains(words, item) {
				return false
			}
		}
		return true
	}}
}

// replica is one element of a list of replicas.
var replica = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)

// replicas accepts lists of replicas to throttle, by Kafka's
// ThrottledReplicaListValidator.
func replicas() valid {
	return valid{"PARTITION:BROKER,PARTITION:BROKER,... or *, may be empty", func(value string) bool {
		list := items(value)
		return slices.Equal(list, []string{"*"}) || !slices.ContainsFunc(list, func(item string) bool { return !replica.MatchString(item) })
	}}
}

// gzipLevel accepts the levels of zlib and -1 for its default, by Kafka's
// CompressionType.GZIP.
func gzipLevel() valid {
	return valid{"-1 or 1 to 9", func(value string) bool {
		n, err := strconv.ParseInt(value, 10, 32)
		return err == nil && (n == -1 || 1 <= n && n <= 9)
	}}
}

// items splits a list; the empty list has none.
func items(value string) []string {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	list := strings.Split(value, ",")
	for i, item := range list {
		list[i] = strings.TrimSpace(item)
	}
	return list
}
