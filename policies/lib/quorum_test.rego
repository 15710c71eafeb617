package interlock.lib.quorum_test

import data.interlock.lib.quorum

test_two_persons if quorum.reached(["anna", "vera"], 2)

test_one_person_twice if not quorum.reached(["anna", "anna"], 2)

test_with_the_one_who_asks if quorum.reached_with(["anna"], "vera", 2)

test_the_one_who_asks_counts_once if not quorum.reached_with(["anna"], "anna", 2)

test_among_the_entitled if quorum.reached_among(["anna", "vera", "carl"], ["vera", "carl"], 2)

test_strangers_do_not_count if not quorum.reached_among(["anna", "vera", "carl"], ["vera"], 2)

test_blank_names_do_not_count if not quorum.reached(["anna", "", " ", null, 3], 2)

test_no_list[kind] if {
	some kind, list in {"null": null, "text": "ab", "object": {"a": "x", "b": "y"}}
	not quorum.reached(list, 1)
	not quorum.reached_with(list, "anna", 1)
}

test_no_number[kind] if {
	some kind, needed in {"null": null, "zero": 0, "negative": -1, "half": 0.5, "text": "1", "false": false}
	not quorum.reached(["anna", "vera"], needed)
	not quorum.reached_among(["anna"], ["anna"], needed)
}

# The flaw: two approvals of one person are two.
counting if count(input.approvals) >= 2

test_the_same_one_counted_twice if {
	twice := {"approvals": ["anna", "anna"]}
	counting with input as twice
	not quorum.reached(twice.approvals, 2)
}
