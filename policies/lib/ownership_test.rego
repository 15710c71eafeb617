package interlock.lib.ownership_test

import data.interlock.lib.ownership

test_the_owner if ownership.owned_by("anna", "anna")

test_somebody_else if not ownership.owned_by("anna", "vera")

test_letter_case_counts if not ownership.owned_by("Anna", "anna")

test_nobody[kind] if {
	some kind, none in {"null": null, "empty": "", "blank": " ", "number": 1, "list": ["anna"]}
	not ownership.owned_by(none, none)
	not ownership.owned_by(none, "anna")
	not ownership.owned_by("anna", none)
}

test_assigned if ownership.assigned_to(["vera", "anna"], "anna")

test_not_assigned if not ownership.assigned_to(["vera"], "anna")

test_assigned_to_nobody[kind] if {
	some kind, none in {"null": null, "empty": [], "text": "anna", "blank": [""]}
	not ownership.assigned_to(none, "anna")
	not ownership.assigned_to(none, "")
}

# The flaw: the check is skipped when the assignee is missing.
skipping if not input.assignee

skipping if input.assignee == input.actor.person

test_a_missing_assignee if {
	unassigned := {"actor": {"person": "anna"}}
	skipping with input as unassigned
	not ownership.owned_by(object.get(unassigned, "assignee", null), "anna")
}
