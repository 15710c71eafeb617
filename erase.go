package interlock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// EraseRequest says which texts of history go: notes, forms, and the facts of
// the past, with the salt that binds them to the chain. Rows themselves stay,
// with who did what and when, and the chain still holds.
type EraseRequest struct {
	Machine, ID string  // the instance, or ActorMachine and an actor's id; both "": everywhere, of Actor
	Seqs        []int64 // only these rows; nil: all
	Actor       string  // only rows by this actor, or on his behalf; "": whoever it was
	Attempts    bool    // the instance's refused attempts go, too
	Reason      string  // required. History keeps it: it must hold nothing that would have to be erased
}

// Erased is what was erased.
type Erased struct {
	Rows   int64 `json:"rows"`   // that lost their texts
	Chains int64 `json:"chains"` // that they stand in; each got a row $erase

	// Archived are rows of these chains, and of others of the tenant where it was
	// everywhere, that have left the store: their texts stand in the files of the
	// archive still.
	Archived int64 `json:"archived"`
}

const (
	maxErase  = 5000 // rows that one $erase speaks of; more are erased by several
	pageErase = 500
)

// Erase removes texts of the past, and leaves in each chain a row $erase that
// says who, when, why and which rows: texts that are missing without one are
// found by [Verify]. What is true now stays: an instance's facts, an actor's
// attributes. Only an actor with AdminRole may, or the system. The rows' messages
// in the outbox lose their texts, too; rows that are erased already don't count.
func (g *Gate) Erase(ctx context.Context, by Actor, req EraseRequest) (Erased, error) {
	q, no := g.ask(opErase, by, Ref{req.Machine, req.ID})
	if no != nil {
		return Erased{}, no
	}
	var done Erased
	var err error
	if req.Attempts {
		err = g.attempts.flush(ctx) // those, too, that are still to be written
	}
	if err != nil {
		err = unavailable("store_failed", "the store doesn't answer", err)
	} else {
		done, err = g.erase(ctx, q, req)
	}
	if errors.As(err, &no) {
		_, err = g.refuse(ctx, q, nil, 1, no)
		return done, err
	}
	g.observed(ctx, q, nil, 1, nil)
	return done, err
}

// Erase is [Gate.Erase] for an operator who has the store and no gate over it.
func Erase(ctx context.Context, store Store, by Actor, req EraseRequest) (Erased, error) {
	g := gateOver(store)
	q, no := g.ask(opErase, by, Ref{req.Machine, req.ID})
	if no != nil {
		return Erased{}, no
	}
	return g.erase(ctx, q, req)
}

func (g *Gate) erase(ctx context.Context, q *question, req EraseRequest) (Erased, error) {
	q.event, q.note = "$erase", req.Reason
	if no := req.fits(); no != nil {
		return Erased{}, no
	}
	if _, _, no := g.admin(ctx, q); no != nil {
		return Erased{}, no
	}
	if req.Machine == "" {
		return g.eraseEverywhere(ctx, q, req)
	}
	var done Erased
	err := g.eraseChain(ctx, q, req, &done)
	return done, err
}

func (r *EraseRequest) fits() *Refusal {
	bad := func(pointer, msg string) *Refusal {
		return &Refusal{Stage: StageInput, Code: "input_invalid", Message: msg, Fields: []fsm.FieldError{{Pointer: pointer, Message: msg}}}
	}
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return bad("/reason", "say why: history keeps it")
	case len(r.Reason) > maxNote:
		return bad("/reason", "longer than 4096 bytes")
	case r.Machine == "" && (r.ID != "" || r.Seqs != nil || r.Attempts):
		return bad("/machine", "an instance is named with its machine")
	case r.Machine == "" && r.Actor == "":
		return bad("/machine", "name an instance, or an actor whose texts go everywhere")
	case r.Machine != "" && !ValidID(r.ID):
		return bad("/id", "an id must match [A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
	}
	return nil
}

// eraseEverywhere goes through the chains in which the actor has rows. What was
// erased before an error stays erased, and says so in its chain.
func (g *Gate) eraseEverywhere(ctx context.Context, q *question, req EraseRequest) (Erased, error) {
	var done Erased
	refs, _, err := g.chainsWith(ctx, AuditQuery{Tenant: q.actor.Tenant, Actor: req.Actor})
	if err != nil {
		return done, err
	}
	// Whether he stands in rows that were archived, the store doesn't know.
	shortened, through, err := g.chainsWith(ctx, AuditQuery{Tenant: q.actor.Tenant, Event: archiveEvent})
	if err != nil {
		return done, err
	}
	named, own := len(refs) > 0, Ref{ActorMachine, req.Actor}
	if !slices.Contains(refs, own) {
		refs = append(refs, own)
	}
	asked := map[Ref]bool{}
	for _, ref := range refs {
		asked[ref] = true // they tell for themselves
	}
	for i, ref := range shortened {
		if !asked[ref] {
			done.Archived += through[i]
		}
	}
	for _, ref := range refs {
		one := *q
		one.ref = ref
		r := req
		r.Machine, r.ID = ref.Machine, ref.ID
		if ref == own {
			r.Actor = "" // what others wrote about him is about him
		}
		if err := g.eraseChain(ctx, &one, r, &done); err != nil {
			var no *Refusal
			if errors.As(err, &no) && no.Code == "not_found" {
				if !named { // a slip of the pen must not look like an erasure
					no.Message = "no row names this actor"
					if done.Archived > 0 {
						no.Message += ", of those that weren't archived"
					}
					return done, no
				}
				continue // an actor of whom nothing is stored, such as the system's
			}
			return done, err
		}
	}
	return done, nil
}

// chainsWith are the chains in which the query finds rows, and up to which row
// the newest of these says that rows were archived.
func (g *Gate) chainsWith(ctx context.Context, query AuditQuery) (refs []Ref, through []int64, err error) {
	for query.Outcome, query.Limit = Committed, MaxAudit; ; {
		page, err := Audit(ctx, g.cfg.Store, query)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range page.Rows {
			if ref := (Ref{t.Machine, t.Instance}); len(refs) == 0 || refs[len(refs)-1] != ref { // rows come chain by chain
				refs, through = append(refs, ref), append(through, 0)
			}
			if said, err := parseArchived(t.Input); err == nil && t.Event == archiveEvent && !g.atHand(said.file) {
				through[len(through)-1] = said.through
			}
		}
		if query.After = page.Next; page.Next == "" {
			return refs, through, nil
		}
	}
}

// atHand tells of a file whose rows the store has before its own.
func (g *Gate) atHand(file string) bool {
	store, ok := g.cfg.Store.(interface {
		ArchiveFile(name string) (ArchiveFile, bool)
	})
	if ok {
		_, ok = store.ArchiveFile(file)
	}
	return ok
}

// eraseChain commits as many $erase as it takes.
func (g *Gate) eraseChain(ctx context.Context, q *question, req EraseRequest, done *Erased) error {
	first := true
	for lost := 0; ; {
		n, archived, more, err := g.eraseOnce(ctx, q, req, first)
		switch {
		case errors.Is(err, ErrStale) && lost < maxLooks:
			if no := g.keyStands(ctx, q); no != nil {
				return no
			}
			lost++
			continue
		case errors.Is(err, ErrStale):
			return unavailable("busy", "others changed it at the same time, again and again", nil)
		case err != nil:
			var no *Refusal
			if !errors.As(err, &no) {
				no = unavailable("store_failed", "the store did not commit", err)
			}
			return no
		}
		done.Rows += n
		if n > 0 && first {
			done.Chains++
		}
		if first {
			done.Archived += archived
		}
		if first = false; !more {
			return nil
		}
		q.tid = newID(q.now)
	}
}

func (g *Gate) eraseOnce(ctx context.Context, q *question, req EraseRequest, first bool) (n, archived int64, more bool, err error) {
	epoch, own, no := g.admin(ctx, q)
	if no != nil {
		return 0, 0, false, no
	}
	inst, actor, err := g.erasable(ctx, q)
	if err != nil {
		return 0, 0, false, err
	}
	rows, archived, more, err := g.textsOf(ctx, q, req)
	if err != nil || len(rows) == 0 && !(req.Attempts && first) {
		return 0, archived, false, err
	}
	seqs := make([]int64, len(rows))
	for i, r := range rows {
		seqs[i] = r.Seq
	}
	q.form = map[string]any{"rows": ranges(seqs), "count": json.Number(strconv.Itoa(len(seqs))), "attempts": req.Attempts && first}
	c := &Commit{Epoch: epoch, ByKey: q.actor.apiKey, Erase: &Erasure{Rows: rows, Attempts: req.Attempts && first}}
	var key CacheKey
	var version int64
	if actor != nil {
		c.Actor = changeActor(epoch, *actor, *actor, q, q.event, q.form)
		key, version = actorKey(actor.Tenant, actor.ID), c.Actor.Next.Version
	} else {
		c.Instance = sameInstance(epoch, inst, own, q)
		key, version = instanceKey(inst.Tenant, q.ref), c.Instance.Next.Version
	}
	// Who erases his own chain's texts changes the row that is asked for.
	if q.actor.Kind != System && (actor == nil || actor.ID != own.ID) {
		c.Actors = []ActorCheck{{ID: own.ID, Version: own.Version, Digest: own.digest()}}
	}
	if err := g.commit(ctx, c); err != nil {
		return 0, 0, false, err
	}
	g.floor(ctx, epoch, key, version)
	return int64(len(rows)), archived, more, nil
}

// erasable is the instance or the actor whose chain it is.
func (g *Gate) erasable(ctx context.Context, q *question) (*Instance, *ActorRecord, error) {
	limited, cancel := g.reading(ctx)
	defer cancel()
	if q.ref.Machine == ActorMachine {
		a, err := g.cfg.Store.Actor(limited, q.actor.Tenant, q.ref.ID)
		if err == nil && a == nil {
			err = notFound()
		}
		return nil, a, err
	}
	f, err := g.cfg.Store.Load(limited, q.actor.Tenant, q.ref, nil)
	if err == nil && f.Instance == nil {
		err = notFound()
	}
	return f.Instance, nil, err
}

// textsOf are the rows that lose their texts, oldest first, how many of those asked
// for were archived, and whether there are more than one commit takes. A $erase or $archive keeps its own: it is what proves the others.
func (g *Gate) textsOf(ctx context.Context, q *question, req EraseRequest) (rows []ErasedRow, archived int64, more bool, err error) {
	for after := int64(0); ; {
		limited, cancel := g.reading(ctx)
		page, err := g.cfg.Store.History(limited, q.actor.Tenant, q.ref, after, pageErase)
		cancel()
		if err != nil {
			return nil, 0, false, err
		}
		for _, r := range page {
			archived += req.between(after, r.Seq)
			after = r.Seq
			switch {
			case r.Erased, keepsTexts(r.Event), len(r.Salt) == 0:
				continue
			case req.Seqs != nil && !slices.Contains(req.Seqs, r.Seq):
				continue
			case req.Actor != "" && r.Actor != req.Actor && r.OnBehalfOf != req.Actor:
				continue
			}
			if len(rows) == maxErase {
				return rows, archived, true, nil
			}
			t := r.Transition
			t.Note, t.Input, t.Facts = "", nil, nil
			message, err := json.Marshal(t)
			if err != nil {
				return nil, 0, false, err
			}
			rows = append(rows, ErasedRow{Seq: r.Seq, ID: r.ID, Message: message})
		}
		if len(page) < pageErase {
			return rows, archived, false, nil
		}
	}
}

// between is how many rows are asked for that stand between two of the store's.
func (r *EraseRequest) between(one, other int64) (n int64) {
	if r.Seqs == nil {
		return other - one - 1
	}
	for _, seq := range r.Seqs {
		if one < seq && seq < other {
			n++
		}
	}
	return n
}

// sameInstance is the instance as it was, one version on: nobody did anything to it.
func sameInstance(epoch string, prev *Instance, own ActorRecord, q *question) *InstanceChange {
	ch := &InstanceChange{PrevVersion: prev.Version, PrevState: prev.State, PrevDigest: prev.digest(), PrevHead: prev.Head, Next: *prev}
	ch.Next.Version++
	if q.event != archiveEvent { // that shows in nothing but the version
		ch.Next.UpdatedAt = q.now
	}
	ch.NextDigest = ch.Next.digest()
	rec := &ch.Record
	rec.Transition = q.transition(ruling{event: q.event, from: prev.State, to: prev.State, stay: true}, ch.Next, "")
	rec.Prev = prev.Head
	rec.seal(link{epoch: epoch, actorDigest: own.digest(), nextDigest: ch.NextDigest, fingerprint: q.fingerprint()})
	ch.Next.Head = rec.Hash
	return ch
}

// ranges writes ascending numbers as "1-4,7".
func ranges(seqs []int64) string {
	var b strings.Builder
	for i := 0; i < len(seqs); {
		j := i
		for j+1 < len(seqs) && seqs[j+1] == seqs[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		if fmt.Fprint(&b, seqs[i]); j > i {
			fmt.Fprintf(&b, "-%d", seqs[j])
		}
		i = j + 1
	}
	return b.String()
}

// parseRanges reads what ranges wrote: pairs of first and last.
func parseRanges(s string) ([][2]int64, error) {
	var out [][2]int64
	if s == "" {
		return nil, nil
	}
	last := int64(0)
	for part := range strings.SplitSeq(s, ",") {
		from, to, pair := strings.Cut(part, "-")
		a, err := strconv.ParseInt(from, 10, 64)
		b := a
		if err == nil && pair {
			b, err = strconv.ParseInt(to, 10, 64)
		}
		if err != nil || a <= last || b < a {
			return nil, fmt.Errorf("%.40q isn't a list of rows", s)
		}
		out, last = append(out, [2]int64{a, b}), b
	}
	return out, nil
}
