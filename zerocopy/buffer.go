package zerocopy

import "sync"

// bufferBytes is the size of the buffers of the copy paths. 128 KiB: copying
// runs at 3-7 GiB/s on loopback with 32, 64, 128 and 256 KiB, in no order that
// repeats, and a body below Options.CoalesceBelow must fit behind a head.
const bufferBytes = 128 << 10

// buffer is user memory for the ways that need it. A transfer holds at most
// one and only while bytes are on their way, so an idle connection has none.
type buffer [bufferBytes]byte

// buffers keeps free buffers for all transfers of the process; what is idle
// in it is left to the garbage collector.
var buffers = sync.Pool{New: func() any { return new(buffer) }}
