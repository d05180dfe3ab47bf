package iouring

import (
	"fmt"
	"strings"
)

// The structures and constants of this file are those of the kernel's
// include/uapi/linux/io_uring.h, described in io_uring_setup(2),
// io_uring_enter(2) and io_uring_register(2).

// SetupFlags are how a ring was set up: IORING_SETUP_* of io_uring_setup(2).
type SetupFlags uint32

// The flags that Open asks for.
const (
	SetupCQSize       SetupFlags = 1 << 3  // 5.5: the length of the completion queue is given
	SetupClamp        SetupFlags = 1 << 4  // 5.6: lengths above the maximum are cut to it
	SetupSubmitAll    SetupFlags = 1 << 7  // 5.18: an invalid submission does not end its batch
	SetupCoopTaskrun  SetupFlags = 1 << 8  // 5.19: a completion interrupts nobody
	SetupTaskrunFlag  SetupFlags = 1 << 9  // 5.19: the ring says when there is such work
	SetupSingleIssuer SetupFlags = 1 << 12 // 6.0: one thread submits
	SetupDeferTaskrun SetupFlags = 1 << 13 // 6.1: completions are made when that thread enters
)

var setupNames = []struct {
	flag SetupFlags
	name string
}{
	{SetupCQSize, "CQSIZE"}, {SetupClamp, "CLAMP"}, {SetupSubmitAll, "SUBMIT_ALL"}, {SetupCoopTaskrun, "COOP_TASKRUN"},
	{SetupTaskrunFlag, "TASKRUN_FLAG"}, {SetupSingleIssuer, "SINGLE_ISSUER"}, {SetupDeferTaskrun, "DEFER_TASKRUN"},
}

// String returns the kernel's names, without their prefix.
func (f SetupFlags) String() string {
	var names []string
	for _, n := range setupNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
			f &^= n.flag
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(f)))
	}
	return strings.Join(names, "|")
}

// Features are what the kernel says of itself: IORING_FEAT_* of
// io_uring_setup(2).
type Features uint32

// The features that this package needs or uses.
const (
	FeatureSingleMmap   Features = 1 << 0 // 5.4: both queues lie in one mapping
	FeatureNoDrop       Features = 1 << 1 // 5.5: completions that find no room are kept
	FeatureSubmitStable Features = 1 << 2 // 5.5: what a submission points to is read when it is submitted
	FeatureFastPoll     Features = 1 << 5 // 5.7: sockets are waited for without a thread each
)

// needed are the features without which there is no Ring.
const needed = FeatureSingleMmap | FeatureNoDrop | FeatureSubmitStable | FeatureFastPoll

// Op is an operation: IORING_OP_*.
type Op uint8

// The operations that this package prepares, and the kernel that brought each.
const (
	OpNop     Op = 0  // 5.1
	OpFsync   Op = 3  // 5.1
	OpTimeout Op = 11 // 5.4
	OpAccept  Op = 13 // 5.5
	OpCancel  Op = 14 // 5.5
	OpClose   Op = 19 // 5.6
	OpRead    Op = 22 // 5.6
	OpWrite   Op = 23 // 5.6
	OpSend    Op = 26 // 5.6
	OpReceive Op = 27 // 5.6
)

var opNames = map[Op]string{
	OpNop: "nop", OpFsync: "fsync", OpTimeout: "timeout", OpAccept: "accept", OpCancel: "cancel", OpClose: "close",
	OpRead: "read", OpWrite: "write", OpSend: "send", OpReceive: "receive",
}

func (o Op) String() string {
	if name := opNames[o]; name != "" {
		return name
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// SQEFlags change how any operation is carried out: IOSQE_*.
type SQEFlags uint8

const (
	// SQELink begins the next submission only when this one has succeeded; else
	// that one is cancelled.
	SQELink SQEFlags = 1 << 2

	// SQEBufferSelect takes the buffer from the group of the submission.
	SQEBufferSelect SQEFlags = 1 << 5
)

// CQEFlags are what a completion says beside its result: IORING_CQE_F_*.
type CQEFlags uint32

const (
	CQEBuffer CQEFlags = 1 << 0 // the upper 16 bits are the number of a buffer, which is the program's now
	CQEMore   CQEFlags = 1 << 1 // the submission is still in flight and will complete again

	cqeBufferShift = 16 // IORING_CQE_BUFFER_SHIFT
)

const (
	acceptMultishot  = 1 << 0 // IORING_ACCEPT_MULTISHOT in ioprio
	receiveMultishot = 1 << 1 // IORING_RECV_MULTISHOT in ioprio

	cancelAll = 1 << 0 // IORING_ASYNC_CANCEL_ALL
	cancelAny = 1 << 2 // IORING_ASYNC_CANCEL_ANY

	fsyncDataOnly = 1 << 0 // IORING_FSYNC_DATASYNC

	enterGetEvents = 1 << 0 // IORING_ENTER_GETEVENTS

	offsetRings   = 0          // IORING_OFF_SQ_RING: of both queues
	offsetEntries = 0x10000000 // IORING_OFF_SQES

	registerProbe         = 8  // IORING_REGISTER_PROBE
	registerBufferRing    = 22 // IORING_REGISTER_PBUF_RING, 5.19
	unregisterBufferRing  = 23 // IORING_UNREGISTER_PBUF_RING
	probeSupported        = 1  // IO_URING_OP_SUPPORTED
	maxBufferRingEntries  = 1 << 15
	bufferRingTailOffset  = 12 // of the aligned word that ends in the tail
	maxSubmissionEntries  = 1 << 15
	maxCompletionsEntries = 2 * maxSubmissionEntries
)

// setupParams is struct io_uring_params.
type setupParams struct {
	sqEntries, cqEntries uint32
	flags                SetupFlags
	sqThreadCPU          uint32
	sqThreadIdle         uint32
	features             Features
	wqFD                 uint32
	_                    [3]uint32
	sq                   sqOffsets
	cq                   cqOffsets
}

// sqOffsets is struct io_sqring_offsets.
type sqOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

// cqOffsets is struct io_cqring_offsets.
type cqOffsets struct {
	head, tail, mask, entries, overflow, entry, flags, _ uint32
	_                                                    uint64
}

// kernelSQE is struct io_uring_sqe.
type kernelSQE struct {
	op          Op
	flags       SQEFlags
	ioprio      uint16
	fd          int32
	offset      uint64
	addr        uint64
	length      uint32
	opFlags     uint32
	userData    uint64
	group       uint16
	personality uint16
	fileIndex   int32
	addr3       uint64
	_           uint64
}

// kernelTimespec is struct __kernel_timespec.
type kernelTimespec struct{ sec, nsec int64 }

// kernelProbe is struct io_uring_probe with room for all operations.
type kernelProbe struct {
	lastOp, opsLen uint8
	_              uint16
	_              [3]uint32
	ops            [256]struct {
		op, _ uint8
		flags uint16
		_     uint32
	}
}

// kernelBuffer is struct io_uring_buf. The tail of a buffer ring lies in the
// last two bytes of its first entry.
type kernelBuffer struct {
	addr   uint64
	length uint32
	id     uint16
	tail   uint16
}

// bufferRegistration is struct io_uring_buf_reg.
type bufferRegistration struct {
	addr    uint64
	entries uint32
	group   uint16
	flags   uint16
	_       [3]uint64
}
