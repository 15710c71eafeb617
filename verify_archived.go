package interlock

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
)

const archiveEvent = "$archive"

// keepsTexts tells the events whose texts stay for good: they prove what is
// missing of others.
func keepsTexts(event string) bool { return event == "$erase" || event == archiveEvent }

// archiveFiles is what a store also has that has archived rows in its Chain.
type archiveFiles interface {
	ArchiveFile(name string) (ArchiveFile, bool)
	// HasTexts tells whether a file has the texts of a row of the chain that is
	// being read.
	HasTexts(tenant string, ref Ref, seq int64) bool
}

// jump is a place in a chain where rows are missing: because they were archived,
// as a later row of the chain then says.
type jump struct {
	row     *Record // after it; its place and Prev
	after   int64   // seq of the row before; 0: none
	follows bool    // it is linked to the row before all the same
	said    *archived
	marks   []heldMark
}

// heldMark is what a witness knows of a row that is missing.
type heldMark struct {
	witness string
	Mark
}

// archived is what a row $archive says.
type archived struct {
	through, erased int64
	hash, sum       []byte
	file            string
}

// jump keeps a place where rows are missing before r. There may be very many:
// each is found by its row, and holds no texts.
func (v *verifier) jump(r *Record, after int64, follows bool) {
	place := &Record{Transition: Transition{Tenant: r.Tenant, Machine: r.Machine, Instance: r.Instance, Seq: r.Seq, Prev: r.Prev}}
	j := &jump{row: place, after: after, follows: follows}
	if v.jumpAt == nil {
		v.jumpAt = map[int64]*jump{}
	}
	v.jumps, v.jumpAt[r.Seq] = append(v.jumps, j), j
}

// jumped is the place before the row at hand, if seq is missing there; nil: it isn't.
func (v *verifier) jumped(seq int64) *jump {
	if n := len(v.jumps); n > 0 {
		if j := v.jumps[n-1]; j.after < seq && seq < j.row.Seq {
			return j
		}
	}
	return nil
}

// archival looks at what a row says of those that were archived.
func (v *verifier) archival(r *Record) {
	if r.Event != archiveEvent || r.Erased {
		return
	}
	said, err := parseArchived(r.Input)
	if err != nil || said.through >= r.Seq-1 {
		v.bad(r, "it doesn't say which rows were archived")
		return
	}
	if j := v.jumpAt[said.through+1]; j != nil && bytes.Equal(j.row.Prev, said.hash) {
		j.said = said
	}
	if v.files == nil {
		if len(v.jumps) > 0 && len(v.report.ArchiveFiles) < maxFaults && !slices.Contains(v.report.ArchiveFiles, said.file) {
			v.report.ArchiveFiles = append(v.report.ArchiveFiles, said.file)
		}
		return
	}
	switch file, ok := v.files.ArchiveFile(said.file); {
	case !ok:
		v.bad(r, "the rows up to %d are archived in %s, which isn't there", said.through, said.file)
	// Where texts were erased in the file, each row has to prove itself.
	case !bytes.Equal(file.SHA256, said.sum) && file.Erased <= said.erased:
		v.bad(r, "%s, in which the rows up to %d are archived, isn't the file that was written: its SHA-256 is %x", said.file, said.through, file.SHA256)
	}
}

func parseArchived(input map[string]any) (*archived, error) {
	var a archived
	text := func(name string) string {
		s, _ := input[name].(string)
		return s
	}
	number := func(name string) (int64, error) {
		n, _ := input[name].(json.Number)
		return n.Int64()
	}
	var errs [4]error
	a.through, errs[0] = number("through")
	a.erased, errs[1] = number("erased")
	a.hash, errs[2] = hex.DecodeString(text("hash"))
	a.sum, errs[3] = hex.DecodeString(text("sha256"))
	a.file = text("file")
	err := errors.Join(errs[:]...)
	if err == nil && (a.through < 1 || a.file == "") {
		err = errors.New("no rows, or no file")
	}
	return &a, err
}

// landed ends a chain: what is missing, and wasn't archived, was deleted.
func (v *verifier) landed(last *Record) {
	for _, j := range v.jumps {
		if j.said == nil {
			v.bad(j.row, "row %d is missing or out of order", j.after+1)
			if !j.follows {
				v.bad(j.row, "it doesn't follow the row before")
			}
		} else if v.files != nil {
			v.bad(j.row, "row %d is archived, as history says, and no file has it", j.after+1)
		} else {
			v.report.Archived += j.row.Seq - 1 - j.after
		}
		for _, m := range j.marks {
			switch {
			case j.said == nil:
				v.gone(m.witness, &m.Mark)
			case m.Version < j.said.through:
				v.report.Unseen++ // not OK: whoever forges the $archive says so of rows that he rebuilt
			case bytes.Equal(m.Hash, j.said.hash):
				v.witnessed(last)
			default:
				v.bad(j.row, "%s knows another row before this one: the chain was rebuilt", m.witness)
			}
		}
	}
	v.jumps, v.jumpAt = nil, nil
}
