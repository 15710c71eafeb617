package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The outcomes that an [AuditQuery] asks for.
const (
	Committed = "committed" // rows of history
	Refused   = "refused"   // attempts that were kept
)

// AuditQuery selects from a tenant's history and its refused attempts. Zero
// fields don't select.
type AuditQuery struct {
	Tenant  string // set by [Gate.Audit]
	Machine string // ActorMachine: changes of actors
	ID      string // of the instance
	Actor   string // who asked, or on whose behalf
	Event   string
	Outcome string    // Committed or Refused; "": first the one, then the other
	Check   string    // the refusal's code, or that of one of its reasons; finds refused attempts alone
	From    time.Time // included
	Until   time.Time // not included
	After   string    // AuditPage.Next of the page before
	Limit   int       // 1 to MaxAudit; 0 is 100
}

// MaxAudit is the most rows of one page.
const MaxAudit = 500

// AuditPage is some of what a query selects: rows by machine, instance and seq,
// attempts in the order in which they were kept.
type AuditPage struct {
	Rows     []Transition
	Attempts []Attempt
	Next     string // After of the next page; "" at the end
}

// Audit searches the actor's tenant, whoever may read what: it is for actors
// with AuditorRole or AdminRole, and for the system.
func (g *Gate) Audit(ctx context.Context, by Actor, query AuditQuery) (AuditPage, error) {
	q, no := g.ask(opAudit, by, Ref{})
	if no != nil {
		return AuditPage{}, no
	}
	if no := g.auditor(ctx, q); no != nil {
		g.observed(ctx, q, nil, 1, no)
		return AuditPage{}, no
	}
	query.Tenant = q.actor.Tenant
	ctx, cancel := g.reading(ctx)
	defer cancel()
	if query.Outcome != Committed {
		if err := g.attempts.flush(ctx); err != nil {
			return AuditPage{}, unavailable("store_failed", "the store doesn't answer", err)
		}
	}
	page, err := Audit(ctx, g.cfg.Store, query)
	if err != nil && !errors.As(err, &no) {
		no = unavailable("store_failed", "the store doesn't answer", err)
	}
	g.observed(ctx, q, nil, 1, no)
	if no != nil {
		return AuditPage{}, no
	}
	return page, nil
}

func (g *Gate) auditor(ctx context.Context, q *question) *Refusal {
	_, own, no := g.admin(ctx, q)
	if no == nil || no.Stage != StagePolicy || q.behalf != nil {
		return no
	}
	if slices.ContainsFunc(own.Grants, func(gr Grant) bool { return gr.Role == AuditorRole && gr.Scope == Scope{} }) {
		return nil
	}
	either := []string{AdminRole, AuditorRole}
	return &Refusal{Stage: StagePolicy, Code: "denied", Message: "only an auditor or an administrator may do this",
		Reasons: []Reason{{Code: "role_required", Message: "Needs role " + AdminRole + " or " + AuditorRole, Params: map[string]any{"any_of": either}}}}
}

// Audit is [Gate.Audit] for who has the store: it asks nobody who he is.
func Audit(ctx context.Context, store Store, q AuditQuery) (AuditPage, error) {
	page := AuditPage{Rows: []Transition{}, Attempts: []Attempt{}}
	at, err := parsePosition(q.After)
	if err != nil {
		return page, err
	}
	if q.Tenant == "" {
		q.Tenant = DefaultTenant
	}
	q.Limit = clamp(q.Limit, 100, MaxAudit)
	if q.Outcome == Committed && q.Check != "" {
		return page, nil // nothing that was committed failed a check
	}
	if !at.refused && q.Outcome != Refused && q.Check == "" {
		rows, err := store.Search(ctx, q, at.ref, at.seq)
		if err != nil {
			return page, err
		}
		for _, r := range rows {
			page.Rows = append(page.Rows, r.Transition)
		}
		if len(rows) == q.Limit {
			last := rows[len(rows)-1]
			page.Next = fmt.Sprintf("c/%s/%s/%d", last.Machine, last.Instance, last.Seq)
			return page, nil
		}
		q.Limit -= len(rows)
		at.seq = 0
	}
	if q.Outcome == Committed {
		return page, nil
	}
	attempts, next, err := store.SearchAttempts(ctx, q, at.seq)
	if err != nil {
		return page, err
	}
	page.Attempts = append(page.Attempts, attempts...)
	if next > 0 {
		page.Next = fmt.Sprintf("r/%d", next)
	}
	return page, nil
}

type auditPosition struct {
	refused bool
	ref     Ref
	seq     int64
}

func parsePosition(s string) (auditPosition, error) {
	parts := strings.Split(s, "/")
	last := len(parts) - 1
	n, err := strconv.ParseInt(parts[last], 10, 64)
	switch {
	case s == "":
		return auditPosition{}, nil
	case err == nil && n > 0 && parts[0] == "r" && len(parts) == 2:
		return auditPosition{refused: true, seq: n}, nil
	case err == nil && n > 0 && parts[0] == "c" && len(parts) >= 4: // a machine's name may hold slashes, an id none
		return auditPosition{ref: Ref{strings.Join(parts[1:last-1], "/"), parts[last-1]}, seq: n}, nil
	}
	return auditPosition{}, &Refusal{Stage: StageInput, Code: "input_invalid", Message: "there is no such page"}
}
