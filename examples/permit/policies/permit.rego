# METADATA
# title: Permit receipt
package interlock.machine.permit

# METADATA
# title: Who checked the confirmation does not determine it
# description: Everybody who ever did T02 on this case is out of T04.
checked_by_somebody_else if {
	checkers := input.instance.did.t02_check_confirmation_of_receipt
	count(checkers) > 0 # nobody checked it: not a way round
	every person in checkers { person != input.actor.person }
}
