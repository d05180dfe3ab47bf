package iouring

// Queue is what who waits for completions needs of a ring. *Ring is one; in a
// test it can be one whose completions come in another order, are short or
// failed.
type Queue interface {
	// Push queues a submission, or returns ErrFull.
	Push(s SQE) error
	// Enter submits what was pushed and returns when so many completions are
	// there. What it could not submit stays in the queue: look at the completions
	// that are there, and enter again.
	Enter(wait int) error
	// Next takes the next completion that is there.
	Next() (CQE, bool)
}
