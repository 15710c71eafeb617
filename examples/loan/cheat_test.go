package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Nobody approves what he brought to verification, whichever way he tries.
func TestCheating(t *testing.T) {
	onBoth(t, func(d *desk) {
		d.step("the verifier approves", func(d *desk) {
			d.verified("c1", "erin")
			d.refused("erin", "c1", "approve", "", 403, "four_eyes", "Somebody else must approve what you verified")
		})
		d.step("the manager who verified overrides", func(d *desk) {
			d.verified("c2", "mark")
			d.refused("mark", "c2", "approve", "", 403, "four_eyes")
			d.refused("mark", "c2", "override:approved", "I know him", 403, "four_eyes")
			// Nor does it help to send it back, or to let somebody verify it again.
			d.must("mark", "c2", "override:reviewed", "once more")
			d.must("erin", "c2", "verify")
			d.refused("mark", "c2", "override:approved", "I know him", 403, "four_eyes")
			d.refused("erin", "c2", "approve", "", 403, "four_eyes")
			d.must("evan", "c2", "approve")
		})
		d.step("the manager overrides what nobody verified", func(d *desk) {
			d.created("c3", 100)
			d.refused("mark", "c3", "override:approved", "quick", 403, "four_eyes")
			// Putting it into verification by override counts as verifying.
			d.must("mark", "c3", "override:verified", "quick")
			d.refused("mark", "c3", "override:approved", "quick", 403, "four_eyes")
		})
		d.step("the amount is edited after verification", func(d *desk) {
			d.verified("c4", "erin")
			code, body := d.ask("evan", "PATCH", "/loans/c4", `{"amount": 49000}`)
			require.Equal(d, 409, code, body)
			require.Contains(d, body, "amount_locked")
			require.Equal(d, 20_000, d.count(`SELECT amount FROM loans WHERE id = 'c4'`))
			// By hand, behind the gate's back: the policy reads the very column that is booked.
			err := d.app.db.exec(d.Context(), `UPDATE loans SET amount = 400000 WHERE id = 'c4'`)
			require.NoError(d, err)
			d.refused("evan", "c4", "approve", "", 403, "within_limit", "The amount is above your limit")
		})
		d.step("a second account of the same person", func(d *desk) {
			d.verified("c5", "erin")
			d.refused("erin2", "c5", "approve", "", 403, "four_eyes")
			// Whose account it is was fixed when it first did anything.
			d.created("c5b", 100)
			d.must("erin2", "c5b", "submit")
			err := d.app.db.exec(d.Context(), `UPDATE employees SET person = 'evan' WHERE id = 'erin2'`)
			require.NoError(d, err)
			d.refused("erin2", "c5", "approve", "", 403, "person_mismatch")
		})
		d.step("the status is written by hand", func(d *desk) {
			d.created("c6", 100)
			err := d.app.db.exec(d.Context(), `UPDATE loans SET status = 'verified' WHERE id = 'c6'`)
			require.NoError(d, err)
			d.refused("evan", "c6", "approve", "", 409, "drift")
		})
		require.Equal(d, 1, d.count(`SELECT count(*) FROM bookings`), "only c2 was approved")
	})
}
