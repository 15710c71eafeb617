# METADATA
# title: User account
package interlock.machine.account

# METADATA
# title: Only the invited person can do this
# description: The account's id is the actor id of the person who logs in with it.
self if input.actor.id == input.instance.id

# METADATA
# title: Fewer than five wrong passwords in a row
too_many_failures if input.instance.facts.failed_logins >= 5
