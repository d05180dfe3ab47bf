package engine

import "github.com/rollway/rollway/engine/record"

// Offset is the number of a record in its partition, from 0.
type Offset = record.Offset

// Position is a byte in one file, from 0.
type Position int64
