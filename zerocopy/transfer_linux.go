package zerocopy

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// transfer is one head and body on their way to one socket: what is left, and
// where it is. It knows no connection and never waits for one; whoever drives
// it calls advance whenever the socket may take more.
//
// The bytes left are, in the order in which they leave: out in user memory,
// then those in pipe, then unread bytes of file from position on.
type transfer struct {
	options  Options // complete: no field has its zero value's meaning
	path     Path    // of the body: SendFile, Splice or Copy
	out      []byte  // outHead bytes of the head, then body bytes; in the caller's memory or in buffer
	outHead  int
	pipe     *Pipe // lent by options.Pipes; nil unless path is or was Splice
	file     *os.File
	position int64
	unread   int64
	buffer   *buffer // nil until path Copy needs it

	sent     int64    // bytes of head and body that the socket accepted
	sentBody int64    // bytes of the body that the socket accepted
	tally    Snapshot // what was done since options.Counters were told
}

// begin starts a transfer of head and, unless it is nil or empty, body. It
// borrows head and the body's file until end.
func (t *transfer) begin(head []byte, body *Range) {
	t.out, t.outHead = head, len(head)
	t.sent, t.sentBody = 0, 0
	if body == nil || body.Len == 0 {
		t.path = t.options.Path
		return
	}
	t.file, t.position, t.unread = body.File, body.Position, body.Len

	t.path = t.options.Path
	switch t.path {
	case Auto:
		t.path = SendFile
		if t.unread < int64(t.options.CoalesceBelow) {
			t.path = Copy
		}
	case Splice:
		pipe, err := t.options.Pipes.Get()
		if err != nil {
			// Why does not matter: the body goes another way.
			t.fallBack(SendFile)
			return
		}
		t.pipe = pipe
	}
}

// end gives back what begin and advance took and reports to the counters.
func (t *transfer) end() {
	if t.pipe != nil {
		t.options.Pipes.Put(t.pipe)
		t.pipe = nil
	}
	if t.buffer != nil {
		buffers.Put(t.buffer)
		t.buffer = nil
	}
	t.out, t.outHead, t.file, t.unread = nil, 0, nil, 0
	t.options.Counters.add(&t.tally)
}

// fallBack changes the way of what remains of the body.
func (t *transfer) fallBack(path Path) {
	t.path = path
	t.tally.Fallbacks++
}

// advance moves bytes until all have left, which is nil; the socket is full,
// which is unix.EAGAIN as is; or something failed. It waits for the disk.
//
// What reads ahead of the socket comes first: then the disk has spoken before
// the head leaves, and the head's segment can hold body bytes too.
func (t *transfer) advance(socket int) error {
	for {
		var err error
		switch {
		case t.unread > 0 && t.path == Copy && t.bufferIsFree():
			err = t.fillBuffer()
		case t.unread > 0 && t.path == Splice && t.pipe.Len() == 0:
			err = t.fillPipe()
		case len(t.out) > 0:
			err = t.send(socket)
		case t.pipe.Len() > 0:
			err = t.drainPipe(socket)
		case t.unread > 0:
			err = t.sendFile(socket)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bufferIsFree tells whether the buffer holds no body bytes and has room for
// some behind what is left of the head. A head of more than half a buffer
// leaves alone, first.
func (t *transfer) bufferIsFree() bool {
	return len(t.out) == t.outHead && t.outHead <= bufferBytes/2
}

// fillBuffer reads the next part of the body into user memory, behind what is
// left of the head.
func (t *transfer) fillBuffer() error {
	if t.buffer == nil {
		t.buffer = buffers.Get().(*buffer)
	}
	head := copy(t.buffer[:], t.out)
	room := t.buffer[head:]
	if t.unread < int64(len(room)) {
		room = room[:t.unread]
	}
	n, err := readFile(t.file, room, t.position)
	t.tally.Copy.Calls++
	if err != nil {
		return err
	}
	t.position += int64(n)
	t.unread -= int64(n)
	t.out = t.buffer[:head+n]
	return nil
}

// send writes out. A head ahead of body bytes that the very next call sends is
// marked MSG_MORE, and only that: it then shares the first segment with them.
// Neither choice adds a call, and this one wins at every size. Loopback, cubic,
// 50-byte head + sendfile, one client with 1 / 8 requests in flight, plain
// against MSG_MORE, medians of 5 x 4,000 answers, Linux 6.18, 2 Xeon cores:
//
//	body     us an answer             segments an answer, both ways
//	4 KiB    7.8/5.6 -> 6.0/4.5       4.0/3.3 -> 2.0/2.1
//	16 KiB   9.6/6.7 -> 6.9/5.0       4.0/3.2 -> 2.0/2.2
//	64 KiB   16.1/10.8 -> 15.9/10.0   5.0/4.4 -> 4.0/3.2
//	1 MiB    238/164 -> 219/149       25/25 -> 21/20
//
// The client's reads an answer fall as well when several are in flight: from
// 1.17 to 1.00 at 64 KiB, from 3.8 to 1.6 at 1 MiB. When the next call fails,
// the head alone may wait 200 ms, but then the connection is closed. When it
// waits for the disk, the head without a body would be of no use to the peer.
func (t *transfer) send(socket int) error {
	alone := len(t.out) == t.outHead
	count := &t.tally.Copy
	if alone {
		count = &t.tally.Head
	}
	count.Calls++
	n, err := TrySend(socket, t.out, alone && (t.unread > 0 || t.pipe.Len() > 0))
	if err != nil {
		return err
	}
	head := min(n, t.outHead)
	t.out = t.out[n:]
	t.outHead -= head
	t.tally.Head.Bytes += int64(head)
	t.tally.Copy.Bytes += int64(n - head)
	t.accepted(int64(n), int64(n-head))
	return nil
}

// sendFile moves one chunk by sendfile.
func (t *transfer) sendFile(socket int) error {
	t.tally.SendFile.Calls++
	n, handled, err := TrySendFile(socket, t.file, t.position, min(t.unread, int64(t.options.ChunkBytes)))
	if !handled {
		t.fallBack(Copy)
		return nil
	}
	if err != nil {
		return err
	}
	t.tally.SendFile.Bytes += n
	t.position += n
	t.unread -= n
	t.accepted(n, n)
	return nil
}

// fillPipe moves the next part of the body into the empty pipe.
func (t *transfer) fillPipe() error {
	t.tally.Splice.Calls++
	n, handled, err := t.pipe.FillFromFile(t.file, t.position, min(t.unread, int64(t.options.ChunkBytes)))
	if !handled {
		// sendfile needs of a file what splice needs: neither will do.
		t.fallBack(Copy)
		return nil
	}
	if err != nil {
		return err
	}
	t.position += n
	t.unread -= n
	return nil
}

// drainPipe moves what the pipe holds to the socket.
func (t *transfer) drainPipe(socket int) error {
	t.tally.Splice.Calls++
	n, handled, err := t.pipe.DrainToSocket(socket)
	if !handled {
		// The pipe keeps its bytes, so the pool will close it; the file has
		// them too.
		t.position -= t.pipe.Len()
		t.unread += t.pipe.Len()
		t.options.Pipes.Put(t.pipe)
		t.pipe = nil
		t.fallBack(Copy)
		return nil
	}
	if err != nil {
		return err
	}
	t.tally.Splice.Bytes += n
	t.accepted(n, n)
	return nil
}

// accepted notes that the socket took n bytes, body of them from the body.
func (t *transfer) accepted(n, body int64) {
	t.sent += n
	t.sentBody += body
}

// blame turns the view of one step, which a *ShortFileError has, into that of
// the body as it was given.
func (t *transfer) blame(err error, body *Range) error {
	if short, ok := errors.AsType[*ShortFileError](err); ok {
		short.Position, short.Wanted, short.Sent = body.Position, body.Len, t.sentBody
	}
	return err
}

// full tells whether err only says that the socket takes no more now, and
// reports to the counters, since a slow peer can hold a transfer for long.
func (t *transfer) full(err error) bool {
	if err != unix.EAGAIN {
		return false
	}
	t.tally.Waits++
	t.options.Counters.add(&t.tally)
	return true
}
