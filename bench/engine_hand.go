package main

import (
	"context"
	"slices"
)

// handEngines is the policy as a programmer writes it who will never change it.
func handEngines(context.Context) ([]engine, error) {
	return []engine{{name: handWritten, prepare: func(r request) (func() (verdict, error), error) {
		return func() (verdict, error) {
			why := r.refused()
			return verdict{allowed: len(why) == 0, reasons: why}, nil
		}, nil
	}}}, nil
}

func (r *request) refused() (why []reason) {
	no := func(code, message string) { why = append(why, reason{code, message}) }
	if r.frozen {
		no("open_case", "The case is frozen")
	}
	if r.region != r.actor.region && !slices.Contains(r.actor.roles, "director") {
		no("own_region", "The case belongs to another region")
	}
	if !r.actor.trained {
		no("trained", "You have not been trained for this")
	}
	if r.risk > 80 && !slices.Contains(r.actor.roles, "manager") {
		no("risk_cleared", "A manager must handle cases of high risk")
	}
	switch r.event {
	case "approve":
		if r.amount > r.actor.limit {
			no("within_limit", "The amount is above your limit")
		}
		if slices.Contains(r.submitted, r.actor.person) {
			no("four_eyes", "Somebody else must approve what you submitted")
		}
	case "pay":
		if r.amount > r.actor.limit {
			no("within_limit", "The amount is above your limit")
		}
		if slices.Contains(r.approved, r.actor.person) {
			no("payer_is_another", "Somebody else must pay what you approved")
		}
	}
	switch r.machine {
	case "loan":
		if r.event == "approve" && r.amount > 100_000 && !slices.Contains(r.actor.roles, "director") {
			no("director_signs", "A director must approve large loans")
		}
	case "expense":
		if r.event == "submit" && r.days > 90 {
			no("recent_expense", "The expense is older than 90 days")
		}
	case "purchase":
		if r.supplier == "acme" || r.supplier == "globex" || r.supplier == "initech" {
			no("supplier_allowed", "The supplier is barred")
		}
	case "contract":
		if r.event == "approve" && !slices.Contains(r.tags, "legal") {
			no("legal_signed", "The legal department has not signed")
		}
	case "refund":
		if r.event == "approve" && r.note == "" {
			no("refund_explained", "A refund needs a note")
		}
	}
	return why
}
