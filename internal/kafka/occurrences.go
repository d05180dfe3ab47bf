package kafka

import "fmt"

// occurrences counts what a request names, so that what it names more than once
// is answered once.
type occurrences[K comparable] map[K]int

// occurrencesOf counts the elements of list by key.
func occurrencesOf[T any, K comparable](list []T, key func(*T) K) occurrences[K] {
	o := make(occurrences[K], len(list))
	for i := range list {
		o[key(&list[i])]++
	}
	return o
}

// take returns how often the key stands in the request, 0 if it was taken
// before.
func (o occurrences[K]) take(key K) (times int) {
	times = o[key]
	o[key] = 0
	return times
}

// duplicate refuses what a request names more than once: which of them was
// meant cannot be guessed.
func duplicate(kind, name string, times int) error {
	return fmt.Errorf("%w: %s %.100q stands in it %d times, want once", errInvalidRequest, kind, name, times)
}
