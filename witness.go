package interlock

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
)

// Mark is the newest row of one chain as it stood at one moment.
type Mark struct {
	Tenant, Machine, ID string
	Version             int64 // the row's seq
	Hash                []byte
}

// Witness is what somebody who keeps it elsewhere knows of the heads of chains,
// such as a signed checkpoint: see [Verify]. Marks are in byte order of (tenant,
// machine, id), each chain once.
type Witness struct {
	Name  string // for faults, such as "checkpoint 7"
	Marks iter.Seq2[Mark, error]
}

// watcher holds one witness against the rows as they come by.
type watcher struct {
	name string
	next func() (Mark, error, bool)
	stop func()
	mark *Mark
}

func watchers(list []Witness) []*watcher {
	out := make([]*watcher, 0, len(list))
	for _, w := range list {
		next, stop := iter.Pull2(w.Marks)
		out = append(out, &watcher{name: w.Name, next: next, stop: stop})
	}
	return out
}

func (w *watcher) advance() error {
	m, err, ok := w.next()
	last := w.mark
	w.mark = nil
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", w.name, err)
	case !ok:
		return nil
	case last != nil && compareKeys(last.Tenant, m.Tenant, last.Machine, m.Machine, last.ID, m.ID) >= 0:
		return fmt.Errorf("%s: its heads are out of order at %s/%s/%s", w.name, m.Tenant, m.Machine, m.ID)
	}
	w.mark = &m
	return nil
}

// compareKeys compares pairs in turn.
func compareKeys(pairs ...string) int {
	for i := 0; i < len(pairs); i += 2 {
		if c := strings.Compare(pairs[i], pairs[i+1]); c != 0 {
			return c
		}
	}
	return 0
}

// passed tells the witnesses of the next row; nil is the end of history. What a
// witness names and history no longer has was there once: rows are only added.
func (v *verifier) passed(r *Record) error {
	for _, w := range v.watchers {
		for w.mark != nil {
			c := -1
			if r != nil {
				c = compareKeys(w.mark.Tenant, r.Tenant, w.mark.Machine, r.Machine, w.mark.ID, r.Instance)
			}
			if c > 0 || c == 0 && w.mark.Version > r.Seq {
				break
			}
			switch {
			case c < 0:
				v.gone(w.name, w.mark)
			case w.mark.Version < r.Seq:
				if j := v.jumped(w.mark.Version); j != nil { // perhaps it was archived
					j.marks = append(j.marks, heldMark{w.name, *w.mark})
				} else {
					v.gone(w.name, w.mark)
				}
			case !bytes.Equal(w.mark.Hash, r.Hash):
				v.bad(r, "%s knows another row in this place: the chain was rebuilt", w.name)
			default:
				v.witnessed(r)
			}
			if err := w.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone is a row that a witness knows, and nobody says where it is.
func (v *verifier) gone(witness string, m *Mark) {
	r := &Record{Transition: Transition{Tenant: m.Tenant, Machine: m.Machine, Instance: m.ID, Seq: m.Version}}
	v.bad(r, "%s knows this row, and history has it no longer: rows or the whole chain were removed", witness)
}

// witnessed counts the row's chain, once.
func (v *verifier) witnessed(r *Record) {
	if !sameChain(v.marked, r) {
		v.report.Witnessed++
	}
	v.marked = r
}
