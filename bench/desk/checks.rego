# The same rules as the gate asks for them: named conditions that must hold.
package interlock.machine.NAME

# METADATA
# title: The case is frozen
open_case if input.instance.facts.frozen == false

# METADATA
# title: The case belongs to another region
own_region if input.instance.facts.region == input.actor.attrs.region

own_region if "director" in input.actor.roles

# METADATA
# title: The amount is above your limit
within_limit if input.instance.facts.amount <= input.actor.attrs.limit

within_limit if not input.event in {"approve", "pay"}

# METADATA
# title: You have not been trained for this
trained if input.actor.attrs.trained

# METADATA
# title: Somebody else must approve what you submitted
four_eyes if input.event != "approve"

four_eyes if not input.actor.person in input.instance.did.submit

# METADATA
# title: Somebody else must pay what you approved
payer_is_another if input.event != "pay"

payer_is_another if not input.actor.person in input.instance.did.approve

# METADATA
# title: A manager must handle cases of high risk
risk_cleared if input.instance.facts.risk <= 80

risk_cleared if "manager" in input.actor.roles

# METADATA
# title: A director must approve large loans
director_signs if not large_loan

director_signs if "director" in input.actor.roles

large_loan if {
	input.machine == "loan"
	input.event == "approve"
	input.instance.facts.amount > 100000
}

# METADATA
# title: The expense is older than 90 days
recent_expense if not submits_expense

recent_expense if input.instance.facts.days <= 90

submits_expense if {
	input.machine == "expense"
	input.event == "submit"
}

# METADATA
# title: The supplier is barred
supplier_allowed if input.machine != "purchase"

supplier_allowed if not input.instance.facts.supplier in {"acme", "globex", "initech"}

# METADATA
# title: The legal department has not signed
legal_signed if not approves_contract

legal_signed if "legal" in input.instance.facts.tags

approves_contract if {
	input.machine == "contract"
	input.event == "approve"
}

# METADATA
# title: A refund needs a note
refund_explained if input.note != ""

refund_explained if not approves_refund

approves_refund if {
	input.machine == "refund"
	input.event == "approve"
}
