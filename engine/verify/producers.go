package verify

import (
	"path"

	"github.com/rollway/rollway/engine/dump"
)

// snapshotListFile names the newest producer snapshot of each partition.
const snapshotListFile = "rollway-producer-snapshots"

// snapshotList reads the list. One that is missing or damaged costs nothing but
// the notice of a snapshot that is missing too.
func (c *checker) snapshotList(present bool) error {
	if !present {
		return nil
	}
	return c.contents(snapshotListFile, func(dump.Item) {})
}

// producerSnapshot reads a snapshot of the partition's producers. A start does
// without one that is damaged: it reads the log instead.
func (p *partitionCheck) producerSnapshot(name string) error {
	f, err := p.open(name)
	if err != nil {
		return p.report(whole(Problem, p.full(path.Join(p.dir, name)), "%v", err))
	}
	if f == nil {
		return nil
	}
	defer f.Close()
	_, err = dump.Contents(f, name, dump.Options{}, func(item dump.Item) error {
		if problem, ok := item.(dump.Problem); ok {
			return p.report(fromDump(Problem, f.Name(), problem))
		}
		return nil
	})
	return err
}
