package load

import (
	"fmt"

	"github.com/rollway/rollway/engine/record"
)

// valueBytes is the length of a record's value, a long log line.
const valueBytes = 1000

// Batch returns a batch of exactly size bytes, uncompressed, with records of
// valueBytes and a longer last one, or a single shorter one.
func Batch(size int) (record.Batch, error) { return BatchOf(size, valueBytes) }

// BatchOf is Batch with records of so many bytes.
func BatchOf(size, valueBytes int) (record.Batch, error) {
	recordBytes := valueBytes + 11 // up to offset delta 1,048,575; lengths and deltas are varints
	value := make([]byte, max(size, valueBytes))
	for i := range value {
		value[i] = 'a' + byte(i*i%26)
	}
	build := func(last int) (*record.Builder, error) {
		b := new(record.Builder)
		for b.Size()+2*recordBytes <= size {
			if err := b.Append(0, nil, value[:valueBytes]); err != nil {
				return nil, err
			}
		}
		return b, b.Append(0, nil, value[:last])
	}
	// The last record's fields beside its value have 7 to 20 bytes.
	least, err := build(0)
	if err != nil {
		return nil, err
	}
	for last := max(0, size-least.Size()-20); last <= size-least.Size(); last++ {
		b, err := build(last)
		if err != nil {
			return nil, err
		}
		if b.Size() == size {
			return b.Build(nil)
		}
	}
	return nil, fmt.Errorf("no batch of %d bytes can be built, want another size", size)
}
