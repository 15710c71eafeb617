# METADATA
# title: Quorum
# description: Counts persons, each once, however often one acted.
package interlock.lib.quorum

# METADATA
# title: The different persons of a list
# description: Names that are blank or no text are left out.
persons(list) := {person |
	is_array(list)
	some person in list
	is_string(person)
	trim_space(person) != ""
}

# METADATA
# title: Enough different persons have agreed
# description: needed is a whole number from 1; anything else is never reached.
reached(list, needed) if {
	_whole(needed)
	count(persons(list)) >= needed
}

# METADATA
# title: Enough different persons have agreed, with the one who asks
reached_with(list, person, needed) if {
	is_array(list)
	reached(array.concat(list, [person]), needed)
}

# METADATA
# title: Enough of those entitled have agreed
# description: Counts only persons who are in both lists.
reached_among(list, entitled, needed) if {
	_whole(needed)
	count(persons(list) & persons(entitled)) >= needed
}

_whole(n) if {
	is_number(n)
	n >= 1
	n == floor(n)
}
