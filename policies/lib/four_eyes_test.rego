package interlock.lib.four_eyes_test

import data.interlock.lib.four_eyes

test_somebody_else_passes if four_eyes.somebody_else(["vera"], "anna")

test_the_same_person_does_not if not four_eyes.somebody_else(["vera"], "vera")

test_one_of_several_does_not if not four_eyes.somebody_else(["carl", "vera"], "vera")

test_nobody_acted if not four_eyes.somebody_else([], "anna")

test_no_list[kind] if {
	some kind, persons in {"null": null, "text": "vera", "object": {"a": "vera"}, "number": 1}
	not four_eyes.somebody_else(persons, "anna")
}

test_no_person[kind] if {
	some kind, person in {"null": null, "empty": "", "blank": " ", "number": 1}
	not four_eyes.somebody_else(["vera"], person)
}

test_a_nameless_one_among_them if not four_eyes.somebody_else(["vera", ""], "anna")

# The flaw: persons compared by an address that belongs to an account.
by_email if input.verified_by != input.actor.claims.email

test_a_second_account_of_the_same_person if {
	second := {
		"verified_by": "vera@one.example",
		"verified": ["vera"],
		"actor": {"person": "vera", "claims": {"email": "vera@two.example"}},
	}
	by_email with input as second
	not four_eyes.somebody_else(second.verified, second.actor.person)
}

# The flaw: a deny rule that is undefined when history is missing.
denied if input.verified[_] == input.actor.person

not_denied if not denied

test_a_missing_history if {
	empty := {"actor": {"person": "vera"}}
	not_denied with input as empty
	not four_eyes.somebody_else(object.get(empty, "verified", null), empty.actor.person)
}
