package record

import (
	"fmt"
	"testing"
)

// Verifying, iterating and building without compression allocate nothing once
// the buffers have grown; nor do the patches and Next.
func TestAllocations(t *testing.T) {
	b := build(t, BuilderOptions{}, sample(100, 0)...)
	f := func(name string, want float64, run func()) {
		t.Helper()
		if got := testing.AllocsPerRun(200, run); got > want {
			t.Errorf("%s allocates %v times, want %v", name, got, want)
		}
	}
	f("Verify", 0, func() {
		if b.Verify() != nil {
			t.Fatal("the batch is good")
		}
	})
	f("VerifyProduced", 0, func() {
		if b.VerifyProduced() != nil {
			t.Fatal("the batch is good")
		}
	})
	f("Next", 0, func() {
		if _, _, err := Next(b); err != nil {
			t.Fatal(err)
		}
	})
	f("the iterators", 0, func() {
		n := 0
		it := b.Iterate(b.Records())
		for it.Next() {
			for h := it.Record().Headers(); h.Next(); {
				n += len(h.Header().Key)
			}
		}
		if it.Err() != nil || n == 0 {
			t.Fatal(it.Err())
		}
	})
	c := build(t, BuilderOptions{}, sample(100, 0)...)
	f("the patches", 0, func() {
		c.SetBaseOffset(9)
		c.SetLeaderEpoch(9)
		c.SetLogAppendTime(9)
	})

	var builder Builder
	var out []byte
	headers := []Header{{Key: []byte("k"), Value: []byte("v")}}
	producer := &Producer{ID: 1}
	f("Builder", 0, func() {
		builder.Reset(BuilderOptions{Producer: producer})
		for range 100 {
			if err := builder.Append(5, nil, b[:200], headers...); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if out, err = builder.Build(out[:0]); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			batch := logBatch(b, size)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if err := batch.Verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIterate(b *testing.B) {
	batch := logBatch(b, 64<<10)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		it := batch.Iterate(batch.Records())
		for it.Next() {
		}
		if it.Err() != nil {
			b.Fatal(it.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.Count()), "ns/record")
}

func BenchmarkBuild(b *testing.B) {
	source := logBatch(b, 64<<10)
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			var builder Builder
			var out []byte
			b.SetBytes(int64(len(source)))
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset(BuilderOptions{Codec: codec})
				it := source.Iterate(source.Records())
				for it.Next() {
					r := it.Record()
					if err := builder.Append(r.Timestamp, r.Key, r.Value); err != nil {
						b.Fatal(err)
					}
				}
				var err error
				if out, err = builder.Build(out[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecompress(b *testing.B) {
	source := logBatch(b, 64<<10)
	for _, codec := range allCodecs[1:] {
		b.Run(codec.String(), func(b *testing.B) {
			packed := mustCompress(b, codec, source.Records())
			var out []byte
			b.SetBytes(int64(len(source.Records())))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = Decompress(out[:0], codec, packed, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
