package coord

import (
	"fmt"
	"time"
)

// Settings are those of all groups. The zero value is Kafka's.
type Settings struct {
	// Partitions is how many partitions the offsets log has
	// (offsets.topic.num.partitions). Default 50. It must not change.
	Partitions int32
	// MinSessionTimeout and MaxSessionTimeout bound what a member may ask for
	// (group.min.session.timeout.ms, group.max.session.timeout.ms). Defaults 6 s
	// and 30 minutes.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is how long the first rebalance of an empty group
	// waits for more members (group.initial.rebalance.delay.ms). Default 3 s;
	// negative: not at all.
	InitialRebalanceDelay time.Duration
	// MaxGroupSize is the most members of a group (group.max.size). Default
	// 2^31-1.
	MaxGroupSize int
	// MaxMetadata is the longest text that may come with an offset, in UTF-16
	// units, as Kafka counts it (offset.metadata.max.bytes). Default 4096;
	// negative: none may come.
	MaxMetadata int
	// OffsetRetention is how long offsets are kept after their group became empty
	// (offsets.retention.minutes, KIP-211). Default 7 days.
	OffsetRetention time.Duration
	// RetentionCheck is how often each group is looked at for that
	// (offsets.retention.check.interval.ms). Default 10 minutes.
	RetentionCheck time.Duration
	// MaxRecordBytes is the largest record that the log takes; a group is one, with
	// what each member says of itself and its assignment. At half of it, which is
	// for the former, no member joins, and an assignment that does not fit is
	// refused. Default 16 MiB, at least 512 KiB.
	MaxRecordBytes int
	// MaxBytes bounds the memory of all groups, about: at the bound no member
	// joins, no new offset is committed, and clients are told to try again.
	// Default 1 GiB. What is replayed is taken all the same.
	MaxBytes int64
}

// withDefaults returns s with every field set.
func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if s.Partitions == 0 {
		s.Partitions = 50
	}
	set(&s.MinSessionTimeout, 6*time.Second)
	set(&s.MaxSessionTimeout, 30*time.Minute)
	set(&s.InitialRebalanceDelay, 3*time.Second)
	s.InitialRebalanceDelay = max(0, s.InitialRebalanceDelay)
	if s.MaxGroupSize == 0 {
		s.MaxGroupSize = 1<<31 - 1
	}
	if s.MaxMetadata == 0 {
		s.MaxMetadata = 4096
	}
	s.MaxMetadata = max(0, s.MaxMetadata)
	set(&s.OffsetRetention, 7*24*time.Hour)
	set(&s.RetentionCheck, 10*time.Minute)
	if s.MaxRecordBytes == 0 {
		s.MaxRecordBytes = 16 << 20
	}
	if s.MaxBytes == 0 {
		s.MaxBytes = 1 << 30
	}
	return s
}

// Validate returns an error that names the first field that is out of range.
func (s Settings) Validate() error {
	d := s.withDefaults()
	switch {
	case d.Partitions < 1:
		return fmt.Errorf("coord: Partitions is %d, want at least 1", d.Partitions)
	case d.MinSessionTimeout < time.Millisecond:
		return fmt.Errorf("coord: MinSessionTimeout is %v, want at least 1ms", d.MinSessionTimeout)
	case d.MaxSessionTimeout < d.MinSessionTimeout:
		return fmt.Errorf("coord: MaxSessionTimeout is %v, want at least MinSessionTimeout, %v", d.MaxSessionTimeout, d.MinSessionTimeout)
	case d.MaxGroupSize < 1:
		return fmt.Errorf("coord: MaxGroupSize is %d, want at least 1", d.MaxGroupSize)
	case d.OffsetRetention < time.Millisecond:
		return fmt.Errorf("coord: OffsetRetention is %v, want at least 1ms", d.OffsetRetention)
	case d.RetentionCheck < time.Millisecond:
		return fmt.Errorf("coord: RetentionCheck is %v, want at least 1ms", d.RetentionCheck)
	case d.MaxRecordBytes < 512<<10:
		return fmt.Errorf("coord: MaxRecordBytes is %d, want at least %d", d.MaxRecordBytes, 512<<10)
	case d.MaxBytes < 1:
		return fmt.Errorf("coord: MaxBytes is %d, want at least 1", d.MaxBytes)
	}
	return nil
}
