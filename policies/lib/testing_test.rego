package interlock.lib.testing_test

import data.interlock.lib.testing

test_complete if {
	got := testing.request({})
	object.keys(got) == {"machine", "event", "transition", "instance", "actor", "input", "note", "now", "request"}
	object.keys(got.instance) == {"id", "tenant", "state", "version", "facts", "created_by", "created_at", "since", "entered", "did", "actors", "last"}
	object.keys(got.actor) == {"id", "person", "kind", "roles", "attrs", "claims", "on_behalf_of"}
	object.keys(got.transition) == {"from", "to", "override", "metadata"}
}

test_fields_are_merged if {
	got := testing.request({"actor": {"person": "anna"}, "instance": {"facts": {"amount": 3}}})
	got.actor.person == "anna"
	got.actor.kind == "user"
	got.instance.facts == {"amount": 3}
}

test_lists_are_replaced if testing.request({"actor": {"roles": ["manager"]}}).actor.roles == ["manager"]

test_now if testing.now("1970-01-01T00:00:01Z") == {"rfc3339": "1970-01-01T00:00:01Z", "ns": 1000000000}

test_history if {
	got := testing.history(["a", "b"], ["go"])
	got.entered == {"a": [], "b": []}
	got.did == {"go": []}
	got.last == {"go": {"person": "", "at": "", "count": 0}}
}
