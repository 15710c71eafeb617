// Package archive keeps rows of history that have left their store: a folder of
// files, one row a line (NDJSON), exactly as it was hashed, with the salt of its
// texts. Files are on the disk before the rows leave ([Write] is what
// interlock.Archive takes), and none is ever overwritten, unless texts in it are
// erased.
//
// A chain that begins in a folder and goes on in the store proves itself as a
// whole: [Folder.Over] makes a store that has both, for interlock.Verify and
// checkpoint.Verify.
package archive
