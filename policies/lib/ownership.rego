# METADATA
# title: Ownership
# description: Conditions for grants such as `$owner`. What is missing belongs to nobody.
package interlock.lib.ownership

# METADATA
# title: It belongs to you
# description: Holds when both are the same name and the name isn't blank.
owned_by(owner, person) if {
	is_string(owner)
	trim_space(owner) != ""
	owner == person
}

# METADATA
# title: It is assigned to you
# description: Holds when the person is in the list. A missing or empty list is assigned to nobody.
assigned_to(persons, person) if {
	is_array(persons)
	some one in persons
	owned_by(one, person)
}
