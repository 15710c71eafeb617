// Package wire holds the proof that bad HTTP is refused as it should be: bytes on
// a connection, the same verdict whatever the store, nothing committed, and a
// server that is well afterwards.
package wire
