// Package layering keeps the shape of the module: a package imports only
// packages of strictly lower layers, test files included, so that each floor
// can be read, tested and trusted without the ones above it.
//
// layers is the table, CheckImports the rule over it, CheckFileCalls the rule
// that the engine reaches the file system through engine/vfs alone. Both are
// functions of one source file and know nothing of the disk; Sources reads the
// module, and the test of this package brings them together.
//
// A new package is entered in the table, on the lowest layer that is above
// everything it imports.
package layering
