# METADATA
# title: Four eyes
# description: |
#   Nobody passes what he brought there himself. Give the persons from the
#   history, and the actor's person: two accounts of one person are one.
package interlock.lib.four_eyes

# METADATA
# title: Somebody else has done this part
# description: |
#   Holds when there are persons and the person is none of them. Where nobody
#   acted it doesn't hold: there is nothing that a second pair of eyes could see.
#   An unknown person is never somebody else.
somebody_else(persons, person) if {
	is_array(persons)
	count(persons) > 0
	_named(person)
	every other in persons {
		_named(other)
		other != person
	}
}

_named(person) if {
	is_string(person)
	trim_space(person) != ""
}
