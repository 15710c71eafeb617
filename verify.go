package interlock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
)

// VerifyReport is what [Verify] found.
type VerifyReport struct {
	Chains   int64   `json:"chains"`
	Rows     int64   `json:"rows"`
	Erased   int64   `json:"erased"`      // rows whose texts were erased; the chain holds all the same
	Archived int64   `json:"archived"`    // rows that have left the store, as their chains say, and were not looked at
	Bad      []Fault `json:"bad"`         // in byte order of (tenant, machine, instance); the first 100
	SkewMS   int64   `json:"max_skew_ms"` // most between the gate's clock and the database's

	Witnessed int64 `json:"witnessed"` // chains of which history has a row that a witness marks; each counts once
	Unseen    int64 `json:"unseen"`    // marks of witnesses on rows that are archived, as history says, and were not looked at: not OK

	ArchiveFiles []string `json:"archive_files"` // in which chains say that archived rows are; the first 100
}

// OK tells that nothing was found, and that there was nothing that a witness knows
// and nobody could look at: a forged row can say of rebuilt rows that they are archived.
func (r *VerifyReport) OK() bool { return len(r.Bad) == 0 && r.Unseen == 0 }

// Fault is one place where history doesn't hold.
type Fault struct {
	Tenant   string `json:"tenant"`
	Machine  string `json:"machine"`
	Instance string `json:"instance"`
	Seq      int64  `json:"seq"`
	Problem  string `json:"problem"`
}

func (f Fault) String() string {
	if f.Instance == "" {
		return f.Problem // of the store or of a checkpoint, not of a row
	}
	return fmt.Sprintf("%s/%s/%s row %d: %s", f.Tenant, f.Machine, f.Instance, f.Seq, f.Problem)
}

const maxFaults = 100

// Verify walks every chain of the store and compares the columns with the exact
// bytes, the bytes with the hashes, the hashes with each other, and each
// instance and actor with the newest row of its chain. It finds an edit, a
// deletion in the middle, an insertion and a reorder, also of the rows that
// history speaks of, and that the database no longer forbids these. That a chain
// was cut off, rebuilt or removed together with its instance is found by what
// witnesses know of it. Rows that a chain says were archived are counted, and not
// looked at, unless the store is one that has them too (package archive): what a
// witness knows of such a row is held against nothing (Unseen) then. progress,
// if not nil, is called now and then with the rows done. The error says that the
// store or a witness could not be read.
func Verify(ctx context.Context, store Store, progress func(rows int64), witnesses ...Witness) (VerifyReport, error) {
	v := verifier{ctx: Strong(ctx), store: store, progress: progress, watchers: watchers(witnesses)}
	v.report.Bad, v.report.ArchiveFiles = []Fault{}, []string{}
	v.files, _ = store.(archiveFiles)
	for _, w := range v.watchers {
		defer w.stop()
		if err := w.advance(); err != nil {
			return v.report, err
		}
	}
	if err := v.guards(); err != nil {
		return v.report, err
	}
	if err := v.readEpochs(); err != nil {
		return v.report, fmt.Errorf("read the store's epoch: %w", err)
	}
	heads, stop := iter.Pull2(store.Heads(ctx))
	defer stop()
	v.heads = heads
	if err := v.nextHead(); err != nil {
		return v.report, err
	}
	for rec, err := range store.Chain(ctx) {
		if err != nil {
			return v.report, fmt.Errorf("read history: %w", err)
		}
		if err := v.row(&rec); err != nil {
			return v.report, err
		}
	}
	if err := errors.Join(v.endChain(), v.passed(nil)); err != nil {
		return v.report, err
	}
	for v.head != nil { // instances of which history knows nothing
		if err := v.headless(v.head); err != nil {
			return v.report, err
		}
		if err := v.nextHead(); err != nil {
			return v.report, err
		}
	}
	return v.report, nil
}

type verifier struct {
	ctx      context.Context
	store    Store
	epoch    string
	epochs   map[string]int // each epoch that the store has had, by its place
	since    int            // that of the row before, in its chain
	report   VerifyReport
	progress func(int64)
	heads    func() (Head, error, bool)
	head     *Head
	last     *Record // newest row of the chain at hand
	lastNext []byte  // the digest that it gives of the instance
	watchers []*watcher
	marked   *Record         // newest row that a witness was right about
	erased   map[int64]bool  // rows of the chain without their texts, and no $erase yet
	jumps    []*jump         // places of the chain where rows are missing
	jumpAt   map[int64]*jump // by the seq of the row after them
	files    archiveFiles    // nil: none at hand
}

// guards asks a store that can tell what its database lacks of the guards
// against changes of history, such as triggers that somebody dropped.
func (v *verifier) guards() error {
	s, ok := v.store.(interface {
		Unguarded(context.Context) ([]string, error)
	})
	if !ok {
		return nil
	}
	missing, err := s.Unguarded(v.ctx)
	if err != nil {
		return fmt.Errorf("read the guards of history: %w", err)
	}
	for _, what := range missing {
		v.report.Bad = append(v.report.Bad, Fault{Problem: what})
	}
	return nil
}

func (v *verifier) nextHead() error {
	h, err, ok := v.heads()
	v.head = nil
	if !ok {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the heads: %w", err)
	}
	v.head = &h
	return nil
}

func (v *verifier) bad(r *Record, format string, args ...any) {
	if len(v.report.Bad) < maxFaults {
		v.report.Bad = append(v.report.Bad, Fault{r.Tenant, r.Machine, r.Instance, r.Seq, fmt.Sprintf(format, args...)})
	}
}

func (v *verifier) headless(h *Head) error {
	r := &Record{Transition: Transition{Tenant: h.Tenant, Machine: h.Machine, Instance: h.ID, Seq: h.Version}}
	return v.unlessNow(r, "there is no history of it")
}

// unlessNow is a fault between a chain and its head, unless they fit by now:
// the store may be in use, and heads and rows are read one after the other.
func (v *verifier) unlessNow(r *Record, problem string) error {
	for range 3 {
		fits, again, err := v.fitsNow(r)
		if err != nil {
			return fmt.Errorf("read %s/%s/%s again: %w", r.Tenant, r.Machine, r.Instance, err)
		}
		if fits {
			return nil
		}
		if !again {
			break
		}
	}
	v.bad(r, "%s", problem)
	return nil
}

// fitsNow compares the head as it stands with the row of its version. again:
// there are newer rows than the head knew.
func (v *verifier) fitsNow(r *Record) (fits, again bool, err error) {
	ref := Ref{r.Machine, r.Instance}
	var version int64
	var head, digest []byte
	if r.Machine == ActorMachine {
		a, err := v.store.Actor(v.ctx, r.Tenant, r.Instance)
		if err != nil || a == nil {
			return false, false, err
		}
		version, head, digest = a.Version, a.Head, a.digest()
	} else {
		f, err := v.store.Load(v.ctx, r.Tenant, ref, nil)
		if err != nil || f.Instance == nil {
			return false, false, err
		}
		version, head, digest = f.Instance.Version, f.Instance.Head, f.Instance.digest()
	}
	rows, err := v.store.History(v.ctx, r.Tenant, ref, version-1, 2)
	if err != nil || len(rows) == 0 || rows[0].Seq != version {
		return false, false, err
	}
	p, err := parseChain(rows[0].Bytes)
	if err != nil {
		return false, false, nil //nolint:nilerr // unreadable bytes are a fault, not an error of reading
	}
	fits = len(rows) == 1 && bytes.Equal(rows[0].Hash, head) && bytes.Equal(p.next, digest)
	return fits, len(rows) > 1, nil
}

func sameChain(a, b *Record) bool {
	return a != nil && a.Tenant == b.Tenant && a.Machine == b.Machine && a.Instance == b.Instance
}

func (v *verifier) row(r *Record) error {
	wantSeq, wantPrev := int64(1), genesis(v.epoch, r.Tenant, r.Machine, r.Instance)
	if sameChain(v.last, r) {
		wantSeq, wantPrev = v.last.Seq+1, v.last.Hash
	} else {
		if err := v.endChain(); err != nil {
			return err
		}
		v.report.Chains++
	}
	v.report.Rows++
	if v.progress != nil && v.report.Rows%1000 == 0 {
		v.progress(v.report.Rows)
	}
	v.check(r, wantSeq, wantPrev)
	v.last = r
	if err := v.texts(r); err != nil {
		return err
	}
	v.archival(r)
	return v.passed(r)
}

func (v *verifier) check(r *Record, wantSeq int64, wantPrev []byte) {
	v.lastNext = nil
	p, err := parseChain(r.Bytes)
	if err != nil {
		v.bad(r, "its chain bytes can't be read: %v", err)
		return
	}
	v.lastNext = p.next
	if sum := sha256.Sum256(r.Bytes); !bytes.Equal(sum[:], r.Hash) {
		v.bad(r, "its hash isn't that of its bytes")
	}
	follows := bytes.Equal(p.prev, wantPrev)
	switch {
	case r.Seq > wantSeq: // whether rows were archived here, later rows say
		v.jump(r, wantSeq-1, follows)
		follows = true
	case r.Seq < wantSeq:
		v.bad(r, "row %d is missing or out of order", wantSeq)
	}
	// The epoch in the first row's bytes is the one under which the chain began.
	if wantSeq == 1 && r.Seq == 1 {
		follows = bytes.Equal(p.prev, genesis(p.epoch, r.Tenant, r.Machine, r.Instance))
	}
	if !follows || !bytes.Equal(r.Prev, p.prev) {
		v.bad(r, "it doesn't follow the row before")
	}
	v.checkEpoch(r, p, wantSeq == 1)
	if col := r.differs(p); col != "" {
		v.bad(r, "column %s isn't what the chain says", col)
	}
	if r.Erased {
		v.report.Erased++
	} else if !bytes.Equal(r.textDigest(), p.text) {
		v.bad(r, "its texts aren't those that were committed")
	}
	if !r.Stamp.IsZero() {
		v.report.SkewMS = max(v.report.SkewMS, r.Stamp.Sub(r.Time).Abs().Milliseconds())
	}
}

// differs names the first column that isn't what the chain bytes say.
func (r *Record) differs(p *parsed) string {
	override := ""
	if r.Override {
		override = "1"
	}
	for _, c := range []struct{ name, column, chain string }{
		{"tenant", r.Tenant, p.tenant}, {"machine", r.Machine, p.machine}, {"instance", r.Instance, p.instance},
		{"revision", r.Revision, p.revision}, {"from", r.From, p.from}, {"to", r.To, p.to}, {"event", r.Event, p.event},
		{"override", override, p.override}, {"actor", r.Actor, p.actor}, {"person", r.Person, p.person},
		{"on_behalf_of", r.OnBehalfOf, p.onBehalfOf}, {"on_behalf_of_person", r.OnBehalfOfPerson, p.onBehalfPerson}, {"id", r.ID, p.id},
	} {
		if c.column != c.chain {
			return c.name
		}
	}
	if r.Seq != p.seq {
		return "seq"
	}
	if r.Time.UnixMicro() != p.micros {
		return "time"
	}
	return ""
}

// endChain compares the chain's newest row with the instance or actor itself.
func (v *verifier) endChain() error {
	r := v.last
	if r == nil {
		return nil
	}
	v.last = nil
	v.unnamed(r)
	v.landed(r)
	for v.head != nil && v.head.before(r) {
		if err := v.headless(v.head); err != nil {
			return err
		}
		if err := v.nextHead(); err != nil {
			return err
		}
	}
	h := v.head
	if h == nil || h.Tenant != r.Tenant || h.Machine != r.Machine || h.ID != r.Instance {
		return v.unlessNow(r, "there is history, but nothing that it is the history of")
	}
	switch {
	case h.Version != r.Seq || !bytes.Equal(h.Hash, r.Hash):
		problem := fmt.Sprintf("the newest row isn't the head that the instance names (version %d)", h.Version)
		if err := v.unlessNow(r, problem); err != nil {
			return err
		}
	default:
		v.checkContent(r, h)
	}
	return v.nextHead()
}

// checkContent compares an instance or actor with the row that is its head.
func (v *verifier) checkContent(r *Record, h *Head) {
	digest, err := h.contentDigest()
	if err != nil {
		v.bad(r, "%v", err)
		return
	}
	if !bytes.Equal(digest, h.Digest) || !bytes.Equal(digest, v.lastNext) {
		v.bad(r, "the stored content isn't what was committed")
	}
}

func (h *Head) contentDigest() ([]byte, error) {
	switch {
	case h.Instance != nil:
		return h.Instance.digest(), nil
	case h.Actor != nil:
		return h.Actor.digest(), nil
	}
	return nil, errors.New("its content can't be read")
}

func (h *Head) before(r *Record) bool {
	return compareKeys(h.Tenant, r.Tenant, h.Machine, r.Machine, h.ID, r.Instance) < 0
}
