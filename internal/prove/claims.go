package prove

// Claims is all that is proved: the key that a proof records under, and what it
// says, with the unit of what is tried. One line a claim, sorted by key.
var Claims = map[string]string{
	"model/right":   "the protocol of a commit breaks no promise in any reachable state of its model (states)",
	"model/wrong":   "each wrong protocol is caught, with the shortest story of how it goes wrong (protocols)",
	"wire/postgres": "bad bytes on a connection get the answer that they should, the same as on SQLite, commit nothing and do no harm: inputs",
	"wire/sqlite":   "bad bytes on a connection get the answer that they should, commit nothing and do no harm: inputs",
}
