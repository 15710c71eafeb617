package interlock.machine.loan_test

import data.interlock.machine.loan

# request is a complete question; each test replaces what it is about.
request := {
	"event": "approve",
	"transition": {"from": "verified", "to": "approved", "override": false},
	"instance": {
		"facts": {"amount": 20000},
		"entered": {"verified": ["erin"]},
	},
	"actor": {"person": "evan", "attrs": {"limit": 50000}},
}

asked(patch) := object.union(request, patch)

test_another_person_approves if loan.four_eyes with input as request

test_the_verifier_does_not_approve if {
	not loan.four_eyes with input as asked({"actor": {"person": "erin"}})
}

test_everybody_who_ever_verified_is_out if {
	twice := asked({"instance": {"entered": {"verified": ["erin", "evan"]}}})
	not loan.four_eyes with input as twice
}

test_nobody_verified_is_not_a_way_round if {
	not loan.four_eyes with input as asked({"instance": {"entered": {"verified": []}}})
}

test_a_history_without_verified_is_refused if {
	blank := json.remove(request, ["instance/entered/verified"])
	not loan.four_eyes with input as blank
}

test_an_actor_without_person_is_refused if {
	nobody := json.remove(request, ["actor/person"])
	not loan.four_eyes with input as nobody
}

test_the_event_makes_no_difference if {
	by_override := asked({
		"event": "override",
		"transition": {"override": true},
		"actor": {"person": "erin"},
	})
	not loan.four_eyes with input as by_override
}

test_up_to_the_limit if {
	loan.within_limit with input as asked({"instance": {"facts": {"amount": 50000}}})
}

test_above_the_limit if {
	not loan.within_limit with input as asked({"instance": {"facts": {"amount": 50001}}})
}

test_an_employee_without_limit_approves_nothing if {
	no_limit := json.remove(request, ["actor/attrs/limit"])
	not loan.within_limit with input as no_limit
}

test_a_loan_without_amount_is_refused if {
	no_amount := json.remove(request, ["instance/facts/amount"])
	not loan.within_limit with input as no_amount
}
