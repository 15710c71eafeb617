package interlock.machine.account_test

import data.interlock.machine.account

test_self_is_the_actor_of_the_same_id if {
	account.self with input as {"actor": {"id": "uma"}, "instance": {"id": "uma"}}
}

test_nobody_else_is_self if {
	not account.self with input as {"actor": {"id": "adam"}, "instance": {"id": "uma"}}
}

test_an_account_without_id_is_nobodys if {
	not account.self with input as {"actor": {"id": "uma"}, "instance": {}}
}

test_five_wrong_passwords_lock if {
	account.too_many_failures with input as {"instance": {"facts": {"failed_logins": 5}}}
}

test_four_do_not if {
	not account.too_many_failures with input as {"instance": {"facts": {"failed_logins": 4}}}
}

test_an_unknown_count_does_not if {
	not account.too_many_failures with input as {"instance": {"facts": {}}}
}
