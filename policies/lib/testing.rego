# METADATA
# title: Inputs for tests
# description: |
#   Builds a complete input from the few fields that a test is about:
#   loan.four_eyes with input as testing.request({"actor": {"person": "anna"}})
package interlock.lib.testing

# METADATA
# title: A complete input with these fields in it
# description: Objects are merged, everything else is replaced.
request(fields) := object.union(
	{
		"machine": "machine",
		"event": "event",
		"transition": {"from": "from", "to": "to", "override": false, "metadata": {}},
		"instance": {
			"id": "1",
			"tenant": "default",
			"state": "from",
			"version": 1,
			"facts": {},
			"created_by": "creator",
			"created_at": "2026-03-02T09:00:00Z",
			"since": "2026-03-02T09:00:00Z",
			"entered": {},
			"did": {},
			"actors": ["creator"],
			"last": {},
		},
		"actor": {
			"id": "actor",
			"person": "actor",
			"kind": "user",
			"roles": [],
			"attrs": {},
			"claims": {},
			"on_behalf_of": "",
		},
		"input": {},
		"note": "",
		"now": now("2026-03-02T10:00:00Z"),
		"request": {"id": "request"},
	},
	fields,
)

# METADATA
# title: The field `now` for a moment
# description: moment is RFC 3339.
now(moment) := {"rfc3339": moment, "ns": time.parse_rfc3339_ns(moment)}

# METADATA
# title: A history in which nothing has happened
# description: Every state and event of the machine is a key, as in the gate's input.
history(states, events) := {
	"entered": {state: [] | some state in states},
	"did": {event: [] | some event in events},
	"last": {event: {"person": "", "at": "", "count": 0} | some event in events},
}
