package prove

// Claims is all that is proved: the key that a proof records under, and what it
// says, with the unit of what is tried. One line a claim, sorted by key.
var Claims = map[string]string{
	"anomalies/postgres":          "no cycle of dependencies between the rows of actors and of instances, of committed transactions and readings of both at once",
	"anomalies/sqlite":            "the same on SQLite",
	"linearizable/postgres":       "requests of 16 clients, answers lost and connections cut, are told as one after the other could be",
	"linearizable/sqlite":         "the same on SQLite, answers lost",
	"model/right":                 "the protocol of a commit breaks no promise in any reachable state of its model (states)",
	"model/wrong":                 "each wrong protocol is caught, with the shortest story of how it goes wrong (protocols)",
	"race-to-one/postgres":        "rounds of 16 clients over two gates who ask the same at once: one wins, and the others are told",
	"race-to-one/sqlite":          "the same over one gate on SQLite",
	"rapid/cache":                 "behind a cache that answers anything earlier, foreign or forged, each request is decided as without a cache (steps)",
	"rapid/gate":                  "the gate decides each request as a naive model of the machine does, for the same reasons, and stores what the model holds (steps)",
	"rapid/graph":                 "on random machines, events lead where reading the definition line by line says (steps)",
	"rapid/roles":                 "who may change roles, and what a role then opens, is as in a naive model (steps)",
	"redecided":                   "rows of history that somebody else's code, graph and rules find legal and allowed, by the roles in force then",
	"revoke-storm/administrators": "the same of the right to grant and revoke: who has lost it changes no roles, nor gives it himself back",
	"revoke-storm/hostile":        "the same with a cache that gives out the old role as the newest, whatever it is told",
	"revoke-storm/postgres":       "cycles of grant, use and revoke, or of switching off: once that has answered nothing commits",
	"revoke-storm/redis":          "the same on PostgreSQL with facts cached in Redis",
	"revoke-storm/sqlite":         "the same on SQLite",
	"wire/postgres":               "bad bytes on a connection get the answer that they should, the same as on SQLite, commit nothing and do no harm: inputs",
	"wire/sqlite":                 "bad bytes on a connection get the answer that they should, commit nothing and do no harm: inputs",
}
