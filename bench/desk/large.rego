package interlock.machine.large

# METADATA
# title: An item is not among the others
sets if {
	items := {x | some x in input.instance.facts.items}
	others := {x | some x in input.instance.facts.others}
	count(items & others) == count(items)
}

# METADATA
# title: An item stands twice
objects if {
	places := {x: i | some i, x in input.instance.facts.items}
	every i, x in input.instance.facts.items {
		places[x] == i
	}
}

# METADATA
# title: An item has no name
comprehensions if {
	named := [upper(x) | some x in input.instance.facts.items; x != ""]
	count(named) == count(input.instance.facts.items)
}
