# METADATA
# title: Report
package interlock.machine["moderation-report"]

# METADATA
# title: You did not report this
reporter if input.instance.facts.reported_by == input.actor.person
