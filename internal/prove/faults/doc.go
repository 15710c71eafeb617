// Package faults proves what the gate promises while what it stands on fails:
// Redis in every way that a cache can be wrong, PostgreSQL and the disk under
// SQLite in every way that a store can be unable. Each proof is a load of clients
// of the HTTP server, with the fault in its middle; package load holds what they
// were answered against the history.
package faults
