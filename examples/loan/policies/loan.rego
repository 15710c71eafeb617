# METADATA
# title: Loan application
# description: Conditions for entering the state `approved`, by whatever event.
package interlock.machine.loan

# METADATA
# title: Somebody else must approve what you verified
# description: Everybody who ever brought the loan to verification is out, also after it was put back.
four_eyes if {
	count(input.instance.entered.verified) > 0 # nobody verified it: not a way round
	every person in input.instance.entered.verified { person != input.actor.person }
}

# METADATA
# title: The amount is above your limit
within_limit if input.instance.facts.amount <= input.actor.attrs.limit
