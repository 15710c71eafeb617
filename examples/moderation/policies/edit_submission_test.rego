package interlock.machine["edit-submission_test"]

import data.interlock.machine["edit-submission"] as machine

test_the_one_of_the_row_is_submitter if {
	machine.submitter with input as {"actor": {"person": "uma"}, "instance": {"facts": {"submitted_by": "uma"}}}
}

test_another_is_not_submitter if {
	not machine.submitter with input as {"actor": {"person": "umberto"}, "instance": {"facts": {"submitted_by": "uma"}}}
}

test_without_the_fact_nobody_is_submitter if {
	not machine.submitter with input as {"actor": {"person": "uma"}, "instance": {"facts": {}}}
}
