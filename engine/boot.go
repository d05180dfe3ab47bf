package engine

import (
	"errors"
	"fmt"
	"io/fs"
)

// bootFile, in the data directory, holds the id of the boot in which a process
// last had all partitions ready: one line of text. If the machine still runs in
// that boot, only processes have died since, and the page cache has what they
// wrote.
const bootFile = "rollway-boot"

// readBoot tells whether the directory carries the id of this boot, and so the page
// cache has what was written. After a failed write or sync it may not: the pages
// are lost when the kernel drops them, or the file system is mounted anew.
func (e *Engine) readBoot() (bool, error) {
	if e.rewrites {
		return false, nil
	}
	const longest = 256
	content, err := readFileBounded(e.fs, bootFile, longest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		e.options.Log.Warn("the boot of the last process is not known", "file", bootFile, "error", err)
		return false, nil
	}
	return e.options.BootID != "" && string(content) == e.options.BootID+"\n", nil
}

// markBoot writes this boot's id, once nothing is left in the directory that
// another boot may have torn or a failed write left in doubt.
func (e *Engine) markBoot() {
	if e.failure() != nil {
		return
	}
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			if state := PartitionState(p.state.Load()); state == Recovering || state == Failed {
				return
			}
		}
	}
	e.forgetFailure()
	if e.sameBoot || e.options.BootID == "" {
		return
	}
	err := writeFileAtomic(e.fs, ".", bootFile, []byte(e.options.BootID+"\n"))
	if isFinal(err) {
		e.fail(err)
	}
	if err != nil {
		e.options.Log.Warn("the boot was not noted", "error", fmt.Errorf("write %s: %w", bootFile, err))
	}
}
