package interlock.machine.permit_test

import data.interlock.machine.permit

determined_by(person, checkers) := {
	"event": "t04_determine_confirmation_of_receipt",
	"instance": {"did": {"t02_check_confirmation_of_receipt": checkers}},
	"actor": {"person": person},
}

test_somebody_else_determines if {
	permit.checked_by_somebody_else with input as determined_by("ines", ["jon"])
}

test_the_checker_does_not if {
	not permit.checked_by_somebody_else with input as determined_by("jon", ["jon"])
}

test_nobody_who_ever_checked_does if {
	not permit.checked_by_somebody_else with input as determined_by("jon", ["ines", "jon"])
}

test_unchecked_is_not_a_way_round if {
	not permit.checked_by_somebody_else with input as determined_by("jon", [])
}

test_a_history_that_says_nothing_is_refused if {
	not permit.checked_by_somebody_else with input as {"actor": {"person": "jon"}, "instance": {"did": {}}}
}
