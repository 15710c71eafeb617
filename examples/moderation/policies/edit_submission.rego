# METADATA
# title: Edit submission
package interlock.machine["edit-submission"]

# METADATA
# title: You did not submit this
submitter if input.instance.facts.submitted_by == input.actor.person
