package interlock.lib.limits_test

import data.interlock.lib.limits

test_within if limits.within(5, 5)

test_above if not limits.within(6, 5)

test_negative if not limits.within(-1, 5)

test_no_amount[kind] if {
	some kind, amount in {"null": null, "text": "5", "false": false, "list": []}
	not limits.within(amount, 10)
}

test_no_limit[kind] if {
	some kind, limit in {"null": null, "text": "5", "list": [], "object": {}}
	not limits.within(1, limit)
}

test_large_numbers_are_exact if {
	limits.within(9007199254740992, 9007199254740992)
	not limits.within(9007199254740993, 9007199254740992)
}

test_between if limits.between(5, 5, 6)

test_not_between[kind] if {
	some kind, value in {"below": 4, "above": 7, "null": null, "text": "5"}
	not limits.between(value, 5, 6)
}

# The flaw: null is less than every number.
naive if input.amount <= input.limit

test_a_null_amount if {
	null_amount := {"amount": null, "limit": 10}
	naive with input as null_amount
	not limits.within(null_amount.amount, null_amount.limit)
}

test_a_text_as_limit if {
	text_limit := {"amount": 1000000, "limit": "10"}
	naive with input as text_limit
	not limits.within(text_limit.amount, text_limit.limit)
}

# The flaw: what is undefined violates nothing.
violation if input.amount > input.limit

unviolated if not violation

test_an_empty_input if {
	unviolated with input as {}
	not limits.within(object.get({}, "amount", null), object.get({}, "limit", null))
}
