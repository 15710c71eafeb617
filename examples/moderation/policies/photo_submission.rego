# METADATA
# title: Photo submission
package interlock.machine["photo-submission"]

# METADATA
# title: You did not submit this
submitter if input.instance.facts.submitted_by == input.actor.person
