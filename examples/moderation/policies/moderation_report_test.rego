package interlock.machine["moderation-report_test"]

import data.interlock.machine["moderation-report"] as machine

test_the_one_of_the_row_is_reporter if {
	machine.reporter with input as {"actor": {"person": "uma"}, "instance": {"facts": {"reported_by": "uma"}}}
}

test_another_is_not_reporter if {
	not machine.reporter with input as {"actor": {"person": "umberto"}, "instance": {"facts": {"reported_by": "uma"}}}
}

test_without_the_fact_nobody_is_reporter if {
	not machine.reporter with input as {"actor": {"person": "uma"}, "instance": {"facts": {}}}
}
