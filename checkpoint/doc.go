// Package checkpoint keeps signed marks of what history was, for those who will
// not take the database's word for it.
//
// Every chain of history proves itself, but not that it is all there: who writes
// to the database can cut its end off, rebuild it or remove it with its instance.
// A checkpoint is a Merkle root (RFC 9162, section 2.1) over the newest row of
// every chain, signed with Ed25519 in the form of a C2SP signed note
// (c2sp.org/tlog-checkpoint), beside the list of those rows. [Take] writes one;
// [Verify] later holds each of them against a store that has moved on: every row
// that was ever marked must still be there, with the same hash.
//
// Each checkpoint names the hash of the one before, so that one that is missing
// in between is missed. That the newest are missing shows only where notes are
// kept a second time, elsewhere: see [Post].
package checkpoint
