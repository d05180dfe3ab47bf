package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/rollway/rollway/internal/nearest"
)

// byteSize is a flag value: a number of bytes, alone or with a binary unit, as
// in 16MiB.
type byteSize int64

// byteUnits are the units, the largest first.
var byteUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// Set implements pflag.Value.
func (b *byteSize) Set(text string) error {
	digits, unit := text, int64(1)
	for _, u := range byteUnits {
		if head, ok := strings.CutSuffix(text, u.name); ok {
			digits, unit = head, u.bytes
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return fmt.Errorf("%q, want a number of bytes, alone or with KiB, MiB, GiB or TiB", nearest.Shorten(text))
	}
	*b = byteSize(n * unit)
	return nil
}

// String implements pflag.Value: the largest unit that leaves a whole number.
func (b *byteSize) String() string {
	for _, u := range byteUnits {
		if n := int64(*b); n != 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Type implements pflag.Value; it is the placeholder in help texts.
func (b *byteSize) Type() string { return "bytes" }

// humanBytes writes a number of bytes for people, in a binary unit.
func humanBytes(n int64) string {
	for _, u := range byteUnits {
		if n >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
