package interlock.machine.loan

import data.interlock.lib.four_eyes as eyes
import data.interlock.lib.limits
import data.interlock.lib.ownership

# METADATA
# title: Somebody else must approve what you verified
four_eyes if eyes.somebody_else(input.instance.entered.verified, input.actor.person)

# METADATA
# title: The amount is above your limit
within_limit if limits.within(input.instance.facts.amount, input.actor.attrs.limit)

params["within_limit"] := {"limit": input.actor.attrs.limit}

# METADATA
# title: You created it
owner if ownership.owned_by(input.instance.created_by, input.actor.id)
