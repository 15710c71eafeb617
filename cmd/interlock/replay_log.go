package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// logRow is one row of an event log.
type logRow struct {
	line                       int
	caseID, event, actor, role string
	time                       time.Time
}

type logReader struct {
	file *os.File
	zip  *gzip.Reader
	csv  *csv.Reader
	cols [5]int // case, event, time, actor, role; the last two -1 when the log lacks them
}

func openLog(f replayFlags) (*logReader, error) {
	file, err := os.Open(f.log)
	if err != nil {
		return nil, err
	}
	l := &logReader{file: file}
	var in io.Reader = file
	if strings.HasSuffix(f.log, ".gz") {
		if l.zip, err = gzip.NewReader(file); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.log, err), file.Close())
		}
		in = l.zip
	}
	l.csv = csv.NewReader(in)
	l.csv.ReuseRecord = true
	header, err := l.csv.Read()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: read the header: %w", f.log, err), l.close())
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.TrimPrefix(name, "\ufeff")] = i
	}
	for i, col := range []struct {
		flag, name string
		required   bool
	}{{"case", f.caseCol, true}, {"event", f.eventCol, true}, {"time", f.timeCol, true}, {"actor", f.actorCol, false}, {"role", f.roleCol, false}} {
		n, ok := at[col.name]
		if !ok && col.required {
			return nil, errors.Join(fmt.Errorf("%s has no column %q; name it by --%s; there are: %s", f.log, col.name, col.flag, strings.Join(header, ", ")), l.close())
		}
		if l.cols[i] = n; !ok {
			l.cols[i] = -1
		}
	}
	return l, nil
}

func (l *logReader) close() error {
	if l.zip != nil {
		return errors.Join(l.zip.Close(), l.file.Close())
	}
	return l.file.Close()
}

// next is nil, nil at the end.
func (l *logReader) next() (*logRow, error) {
	rec, err := l.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	line, _ := l.csv.FieldPos(0)
	get := func(i int) string {
		if l.cols[i] < 0 {
			return ""
		}
		return strings.Clone(rec[l.cols[i]])
	}
	row := &logRow{line: line, caseID: get(0), event: get(1), actor: get(3), role: get(4)}
	if row.caseID == "" || row.event == "" {
		return nil, fmt.Errorf("line %d: a row needs a case and an event", line)
	}
	if row.time, err = time.Parse(time.RFC3339, get(2)); err != nil {
		return nil, fmt.Errorf("line %d: time %q: want RFC 3339, such as 2026-01-31T09:30:00Z", line, get(2))
	}
	return row, nil
}

// eventsByActivity finds events by their activity metadata and by slug.
func eventsByActivity(m *fsm.Machine) map[string]string {
	by := map[string]string{}
	for _, e := range m.Events() {
		by[e.Slug] = e.Name
		by[replaySlug(e.Name)] = e.Name
	}
	for _, e := range m.Events() { // metadata goes before slugs
		if a, ok := e.Meta["activity"].(string); ok {
			by[a] = e.Name
		}
	}
	return by
}

// replaySlug is the slug of event logs: lower case, every run of other
// characters than letters and digits one underscore, none at the ends.
func replaySlug(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(s) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
			continue
		}
		gap = true
	}
	return b.String()
}

// slugs gives each name an id of its own.
type slugs struct {
	ids   map[string]string
	taken map[string]bool
}

func newSlugs() *slugs { return &slugs{ids: map[string]string{}, taken: map[string]bool{}} }

func (s *slugs) of(name string) string {
	if id, ok := s.ids[name]; ok {
		return id
	}
	id := name
	if !interlock.ValidID(id) {
		id = replaySlug(name)
		id = id[:min(len(id), 100)]
		if id == "" {
			id = "x"
		}
	}
	base := id
	for n := 2; s.taken[id]; n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	s.ids[name], s.taken[id] = id, true
	return id
}
