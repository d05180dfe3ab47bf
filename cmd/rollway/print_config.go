package main

import "io"

// printSettings prints what is in force and where it comes from.
func printSettings(w io.Writer, s *settings) error {
	t := newTable("SETTING", "VALUE", "FROM")
	for _, row := range s.rows() {
		t.add(row[:]...)
	}
	return t.write(w)
}
