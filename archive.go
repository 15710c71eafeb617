package interlock

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// ArchiveRequest says which rows leave the store: the oldest of each chain, up to
// the first that isn't older than Before, by its own time and by the database's.
type ArchiveRequest struct {
	Tenant, Machine, ID string    // "": all; an actor's own history is that of ActorMachine
	Before              time.Time // at least 48 hours ago: idempotency keys speak of newer rows
	Keep                int       // rows of each chain that stay, the newest, besides those that say what was archived; 0 is 1, at most 1000
	Reason              string    // history keeps it; "": none
}

// Archived is what was moved.
type Archived struct {
	Rows   int64 `json:"rows"`
	Chains int64 `json:"chains"` // that they stood in; each got a row $archive, or several
	Files  int64 `json:"files"`
	Bytes  int64 `json:"bytes"` // of the files
}

// ArchiveFile is a file in which rows are kept instead.
type ArchiveFile struct {
	Name   string // within its folder
	SHA256 []byte // of all of it
	Size   int64  // bytes
	Erased int64  // rows in it whose texts were erased
}

const (
	archiveAge   = 48 * time.Hour // twice keyLife, for clocks that differ
	maxKeep      = 1000
	minArchived  = 2     // of one chain: for a single row its $archive would come
	partRows     = 10000 // of one file, which is one transaction
	partBytes    = 16 << 20
	partChains   = 64 // locked meanwhile
	moveTimeout  = 2 * time.Minute
	moveAttempts = 3
)

// Archive moves old rows out of the store, for its operator: by must be the
// system. write puts some of them into a file; when it returns, the file must be
// on the disk. Only then they leave the store, in one transaction that adds to
// each chain a row $archive with the last row's seq and hash, and the file's name
// and SHA-256: [Verify] finds rows that are missing without one. Instances and
// actors stay what they are, one version on. What was moved before an error, or
// before ctx ended, stays moved; rows that are in a file and in the store too, since
// a run ended in between, are moved by the next.
func Archive(ctx context.Context, store Store, by Actor, req ArchiveRequest, write func([]Record) (ArchiveFile, error)) (Archived, error) {
	return newArchiver(store, by, req, write).archive(ctx)
}

func newArchiver(store Store, by Actor, req ArchiveRequest, write func([]Record) (ArchiveFile, error)) *archiver {
	return &archiver{g: gateOver(store), by: by, req: req, write: write, most: partRows}
}

func (a *archiver) archive(ctx context.Context) (Archived, error) {
	if no := a.fits(); no != nil {
		return Archived{}, no
	}
	a.req.Keep = max(a.req.Keep, 1)
	err := a.run(ctx)
	return a.done, err
}

// gateOver serves an operator who has the store and no gate over it.
func gateOver(store Store) *Gate {
	g := &Gate{cfg: Config{Store: store}}
	g.cfg.setDefaults()
	g.log = g.cfg.Logger
	g.snap.Store(&snapshot{})
	return g
}

type archiver struct {
	g     *Gate
	by    Actor
	req   ArchiveRequest
	write func([]Record) (ArchiveFile, error)
	most  int // rows of one file
	done  Archived

	batch       []*part
	rows, bytes int  // of the batch
	last        Mark // chain that was counted last
}

// part is what goes of one chain with one $archive.
type part struct {
	tenant  string
	ref     Ref
	version int64 // when the rows were read, or before
	rows    []Record
	size    int   // about, bytes
	after   int64 // seq of the last row
}

func (a *archiver) fits() *Refusal {
	bad := func(pointer, msg string) *Refusal {
		return &Refusal{Stage: StageInput, Code: "input_invalid", Message: msg, Fields: []fsm.FieldError{{Pointer: pointer, Message: msg}}}
	}
	switch {
	case a.by.Kind != System:
		return &Refusal{Stage: StagePolicy, Code: "denied", Message: "only the store's operator may do this"}
	case a.req.Before.After(a.g.now().Add(-archiveAge)):
		return bad("/before", "rows of the last 48 hours stay: idempotency keys speak of them")
	case a.req.Keep < 0 || a.req.Keep > maxKeep:
		return bad("/keep", fmt.Sprintf("want 1 to %d rows of each chain that stay", maxKeep))
	case len(a.req.Reason) > maxNote:
		return bad("/reason", "longer than 4096 bytes")
	case a.req.ID != "" && a.req.Machine == "":
		return bad("/machine", "an instance is named with its machine")
	}
	return nil
}

func (a *archiver) selects(h *Head) bool {
	r := &a.req
	return (r.Tenant == "" || r.Tenant == h.Tenant) && (r.Machine == "" || r.Machine == h.Machine) && (r.ID == "" || r.ID == h.ID) &&
		h.Version >= int64(r.Keep+minArchived)
}

func (a *archiver) run(ctx context.Context) error {
	for h, err := range a.g.cfg.Store.Heads(ctx) {
		if err != nil {
			return fmt.Errorf("read the heads: %w", err)
		}
		if !a.selects(&h) {
			continue
		}
		if err := a.chain(ctx, &h); err != nil {
			return fmt.Errorf("archive %s/%s/%s: %w", h.Tenant, h.Machine, h.ID, err)
		}
	}
	return a.flush(ctx)
}

// chain puts what is old of a chain into the batch, in as many parts as it takes.
func (a *archiver) chain(ctx context.Context, h *Head) error {
	p := &part{tenant: h.Tenant, ref: Ref{h.Machine, h.ID}, version: h.Version}
	limit := int64(-1)
	for {
		after := p.after
		page, err := a.history(ctx, h, after, pageErase)
		if err != nil {
			return err
		}
		full := false
		for i := range page {
			r := &page[i]
			if full = a.full(p); full || !r.Time.Before(a.req.Before) || !r.Stamp.Before(a.req.Before) {
				break
			}
			if limit < 0 {
				if limit, err = a.lastToGo(ctx, h); err != nil {
					return err
				}
			}
			if r.Seq > limit {
				break
			}
			p.rows, p.size, p.after = append(p.rows, *r), p.size+sizeOf(r), r.Seq
		}
		switch {
		case full || a.full(p):
			if err := errors.Join(a.add(ctx, p), a.flush(ctx)); err != nil {
				return err
			}
			// What comes next is read after its version is known.
			p = &part{tenant: p.tenant, ref: p.ref, version: p.version + 1, after: p.after}
		case p.after == after || len(page) < pageErase || page[len(page)-1].Seq != p.after:
			if len(p.rows) < minArchived {
				return nil
			}
			return a.add(ctx, p)
		}
	}
}

func (a *archiver) full(p *part) bool { return len(p.rows) >= a.most || p.size >= partBytes }

// sizeOf is about how much a row takes.
func sizeOf(r *Record) int {
	return 2*len(r.Bytes) + len(r.Note) + len(canonicalJSON(r.Input)) + len(canonicalJSON(r.Facts))
}

func (a *archiver) history(ctx context.Context, h *Head, after int64, limit int) ([]Record, error) {
	limited, cancel := a.g.reading(ctx)
	defer cancel()
	return a.g.cfg.Store.History(limited, h.Tenant, Ref{h.Machine, h.ID}, after, limit)
}

// lastToGo is the seq before the newest rows that stay. Those that say what was
// archived don't count as such.
func (a *archiver) lastToGo(ctx context.Context, h *Head) (int64, error) {
	const besides = 64
	from := max(0, h.Version-int64(a.req.Keep+besides))
	rows, err := a.history(ctx, h, from, a.req.Keep+2*besides)
	if err != nil {
		return 0, err
	}
	stay := 0
	for i := len(rows) - 1; i >= 0; i-- {
		if rows[i].Event == archiveEvent {
			continue
		}
		if stay++; stay == a.req.Keep {
			return rows[i].Seq - 1, nil
		}
	}
	return from, nil
}

// add puts a part into the batch; what has no room any more goes first. Actors and
// instances never share a batch: that is the order of locks of every commit.
func (a *archiver) add(ctx context.Context, p *part) error {
	full := len(a.batch) == partChains || a.rows+len(p.rows) > a.most || a.bytes+p.size > partBytes
	if len(a.batch) > 0 && (full || (a.batch[0].ref.Machine == ActorMachine) != (p.ref.Machine == ActorMachine)) {
		if err := a.flush(ctx); err != nil {
			return err
		}
	}
	a.batch, a.rows, a.bytes = append(a.batch, p), a.rows+len(p.rows), a.bytes+p.size
	return nil
}

// flush moves the batch. Where rows are held by others it is tried again, unless
// the file is written already.
func (a *archiver) flush(ctx context.Context) error {
	batch := a.batch
	a.batch, a.rows, a.bytes = nil, 0, 0
	if len(batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var file ArchiveFile
	var err error
	for range moveAttempts {
		if file, err = a.move(ctx, batch); err == nil || file.Name != "" || ctx.Err() != nil {
			break
		}
	}
	var lost *UnknownOutcome
	switch {
	case errors.As(err, &lost):
		return fmt.Errorf("it can't be told whether the rows that %s holds have left the store; run it again: %w", file.Name, err)
	case err != nil && file.Name != "":
		return fmt.Errorf("the rows that %s holds have not left the store; no row of history names that file, so it may go: %w", file.Name, err)
	case err != nil:
		return err
	}
	a.done.Files, a.done.Bytes = a.done.Files+1, a.done.Bytes+file.Size
	for _, p := range batch {
		a.done.Rows += int64(len(p.rows))
		if c := (Mark{Tenant: p.tenant, Machine: p.ref.Machine, ID: p.ref.ID}); c.Tenant != a.last.Tenant || c.Machine != a.last.Machine || c.ID != a.last.ID {
			a.done.Chains++
			a.last = c
		}
	}
	return nil
}

// move is one transaction, which holds the instances or actors from before the
// file is written until the rows are gone: nobody erases texts in between.
func (a *archiver) move(ctx context.Context, batch []*part) (file ArchiveFile, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), moveTimeout)
	defer cancel()
	err = a.g.cfg.Store.Within(ctx, func(tx Tx) error {
		var rows []Record
		now := make([]Facts, len(batch))
		for i, p := range batch {
			if now[i], err = a.hold(ctx, tx, p); err != nil {
				return fmt.Errorf("%s/%s/%s: %w", p.tenant, p.ref.Machine, p.ref.ID, err)
			}
			rows = append(rows, p.rows...)
		}
		written, err := a.write(rows)
		if err != nil {
			return err
		}
		file = written
		erased := int64(0)
		for i := range rows {
			if rows[i].Erased {
				erased++
			}
		}
		file.Erased = erased
		for i, p := range batch {
			c, err := a.commit(p, &now[i], &file)
			if err == nil {
				err = tx.Apply(ctx, c)
			}
			if err != nil {
				return fmt.Errorf("%s/%s/%s: %w", p.tenant, p.ref.Machine, p.ref.ID, err)
			}
		}
		return nil
	})
	return file, err
}

// hold locks the instance or actor; whatever happened to it since its rows were
// read, they are read again: texts may have been erased.
func (a *archiver) hold(ctx context.Context, tx Tx, p *part) (Facts, error) {
	var actors []string
	if p.ref.Machine == ActorMachine {
		actors = []string{p.ref.ID}
	}
	f, err := tx.Load(ctx, p.tenant, p.ref, actors)
	if err != nil {
		return f, err
	}
	var version int64
	switch {
	case p.ref.Machine != ActorMachine && f.Instance != nil:
		version = f.Instance.Version
	case p.ref.Machine == ActorMachine && len(f.Actors) == 1:
		version = f.Actors[0].Version
	default:
		return f, errors.New("it is there no longer")
	}
	if version == p.version {
		return f, nil
	}
	for i := 0; i < len(p.rows); {
		page, err := a.g.cfg.Store.History(ctx, p.tenant, p.ref, p.rows[i].Seq-1, min(pageErase, len(p.rows)-i))
		if err != nil {
			return f, err
		}
		for _, r := range page {
			if r.Seq != p.rows[i].Seq || string(r.Hash) != string(p.rows[i].Hash) {
				return f, fmt.Errorf("row %d isn't what it was", p.rows[i].Seq)
			}
			p.rows[i] = r
			i++
		}
		if len(page) == 0 {
			return f, fmt.Errorf("row %d is there no longer", p.rows[i].Seq)
		}
	}
	p.version = version
	return f, nil
}

// commit is the part's $archive.
func (a *archiver) commit(p *part, now *Facts, file *ArchiveFile) (*Commit, error) {
	by := a.by
	by.Tenant = p.tenant
	q, no := a.g.ask(opArchive, by, p.ref)
	if no != nil {
		return nil, no
	}
	first, last := p.rows[0].Seq, p.rows[len(p.rows)-1]
	number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	q.event, q.note = archiveEvent, a.req.Reason
	q.form = map[string]any{
		"through": number(last.Seq), "hash": hex.EncodeToString(last.Hash), "count": number(int64(len(p.rows))),
		"file": file.Name, "sha256": hex.EncodeToString(file.SHA256), "erased": number(file.Erased),
	}
	c := &Commit{Epoch: now.Epoch, Archive: &Archival{After: first - 1, Through: last.Seq}}
	if p.ref.Machine == ActorMachine {
		actor := now.Actors[0]
		c.Actor = changeActor(now.Epoch, actor, actor, q, q.event, q.form)
		return c, nil
	}
	own := ActorRecord{Tenant: q.actor.Tenant, ID: q.actor.ID, Active: true} // nothing is stored of the system
	c.Instance = sameInstance(now.Epoch, now.Instance, own, q)
	return c, nil
}
