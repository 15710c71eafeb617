package interlock.machine.loan_test

import data.interlock.lib.testing
import data.interlock.machine.loan

asked(fields) := testing.request(object.union({"instance": {"entered": {"verified": ["vera"]}}}, fields))

test_somebody_else_approves if {
	loan.four_eyes with input as asked({"actor": {"person": "anna"}})
}

test_the_verifier_does_not if {
	not loan.four_eyes with input as asked({"actor": {"person": "vera"}})
}

test_within_the_limit[name] if {
	some name, amount in {"nothing": 0, "all of it": 500}
	loan.within_limit with input as asked({"instance": {"facts": {"amount": amount}}, "actor": {"attrs": {"limit": 500}}})
}
