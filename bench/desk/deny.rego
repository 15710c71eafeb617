# The rules as OPA's users write them: one set of denials.
package interlock.machine.NAME

deny contains {"code": "open_case", "message": "The case is frozen"} if input.instance.facts.frozen

deny contains {"code": "own_region", "message": "The case belongs to another region"} if {
	input.instance.facts.region != input.actor.attrs.region
	not "director" in input.actor.roles
}

deny contains {"code": "within_limit", "message": "The amount is above your limit"} if {
	input.event in {"approve", "pay"}
	input.instance.facts.amount > input.actor.attrs.limit
}

deny contains {"code": "trained", "message": "You have not been trained for this"} if not input.actor.attrs.trained

deny contains {"code": "four_eyes", "message": "Somebody else must approve what you submitted"} if {
	input.event == "approve"
	input.actor.person in input.instance.did.submit
}

deny contains {"code": "payer_is_another", "message": "Somebody else must pay what you approved"} if {
	input.event == "pay"
	input.actor.person in input.instance.did.approve
}

deny contains {"code": "risk_cleared", "message": "A manager must handle cases of high risk"} if {
	input.instance.facts.risk > 80
	not "manager" in input.actor.roles
}

deny contains {"code": "director_signs", "message": "A director must approve large loans"} if {
	input.machine == "loan"
	input.event == "approve"
	input.instance.facts.amount > 100000
	not "director" in input.actor.roles
}

deny contains {"code": "recent_expense", "message": "The expense is older than 90 days"} if {
	input.machine == "expense"
	input.event == "submit"
	input.instance.facts.days > 90
}

deny contains {"code": "supplier_allowed", "message": "The supplier is barred"} if {
	input.machine == "purchase"
	input.instance.facts.supplier in {"acme", "globex", "initech"}
}

deny contains {"code": "legal_signed", "message": "The legal department has not signed"} if {
	input.machine == "contract"
	input.event == "approve"
	not "legal" in input.instance.facts.tags
}

deny contains {"code": "refund_explained", "message": "A refund needs a note"} if {
	input.machine == "refund"
	input.event == "approve"
	input.note == ""
}
