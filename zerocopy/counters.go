package zerocopy

import "sync/atomic"

// Count is what went one way.
type Count struct {
	Bytes int64 // bytes of payload that arrived at the end of the way
	Calls int64 // system calls spent, those that moved nothing included
}

// Snapshot is what Counters hold at one moment. Its fields are read one after
// another, so while transfers run they may differ by one transfer's progress.
type Snapshot struct {
	SendFile Count // file to socket by sendfile
	Splice   Count // file to socket by splice; each byte once, the calls of both halves
	Copy     Count // file to socket through user memory; pread and sendmsg, also those that carry a head too
	Head     Count // heads and Writes: bytes that never were in a file; calls that carried nothing else

	ReceiveSplice Count // socket to file by splice; each byte once, the calls of both halves
	ReceiveCopy   Count // socket to file through user memory

	Fallbacks int64 // transfers that could not go the way they were meant to go
	Waits     int64 // times a transfer had to wait for its peer
}

// Counters say how many bytes and system calls went which way. Any number of
// Senders and Receivers share one; they add what they did when a transfer ends
// or has to wait. The zero value is ready; do not copy it.
type Counters struct {
	sendFile, splice, copied, head atomicCount
	receiveSplice, receiveCopy     atomicCount

	fallbacks, waits atomic.Int64
}

// Snapshot returns the sums so far.
func (c *Counters) Snapshot() Snapshot {
	return Snapshot{
		SendFile:      c.sendFile.load(),
		Splice:        c.splice.load(),
		Copy:          c.copied.load(),
		Head:          c.head.load(),
		ReceiveSplice: c.receiveSplice.load(),
		ReceiveCopy:   c.receiveCopy.load(),
		Fallbacks:     c.fallbacks.Load(),
		Waits:         c.waits.Load(),
	}
}

// add adds s and empties it. A transfer goes one or two ways, so most counts
// are zero and cost no shared cache line.
func (c *Counters) add(s *Snapshot) {
	c.sendFile.add(s.SendFile)
	c.splice.add(s.Splice)
	c.copied.add(s.Copy)
	c.head.add(s.Head)
	c.receiveSplice.add(s.ReceiveSplice)
	c.receiveCopy.add(s.ReceiveCopy)
	if s.Fallbacks != 0 {
		c.fallbacks.Add(s.Fallbacks)
	}
	if s.Waits != 0 {
		c.waits.Add(s.Waits)
	}
	*s = Snapshot{}
}

// atomicCount is a Count that may be added to concurrently.
type atomicCount struct{ bytes, calls atomic.Int64 }

func (c *atomicCount) load() Count { return Count{Bytes: c.bytes.Load(), Calls: c.calls.Load()} }

func (c *atomicCount) add(n Count) {
	if n.Bytes != 0 {
		c.bytes.Add(n.Bytes)
	}
	if n.Calls != 0 {
		c.calls.Add(n.Calls)
	}
}
