package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/interlock-go/interlock"
)

var fileName = regexp.MustCompile(`^history-([0-9]{8,9})-[0-9a-f]{12}\.ndjson$`)

func numberOf(name string) int {
	n, _ := strconv.Atoi(fileName.FindStringSubmatch(name)[1]) // 9 digits at most
	return n
}

// namesIn are the files of a folder, oldest first.
func namesIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if fileName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(numberOf(a), numberOf(b)), cmp.Compare(a, b)) })
	return names, nil
}

// Folder is a folder of archived rows.
type Folder struct {
	path  string
	files []*file // oldest first
	named map[string]*file
}

// file is one of a folder's as it was found.
type file struct {
	interlock.ArchiveFile
	place       int // among the folder's, by age
	first, last *interlock.Record
	rows        int64           // that could be read, from the first on
	problem     string          // "": all could
	names       map[string]bool // files that its rows speak of
}

// Read looks through all files of a folder. Its error says that one could not be
// read; what is wrong with their content is told by what verifies it. A folder with
// nothing in it has no rows yet: were there any, their chains say so and are found
// to lack them. One that holds other files only is somebody else's, and an error.
func Read(folder string) (*Folder, error) {
	names, err := namesIn(folder)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if len(names) == 0 {
		if others, err := os.ReadDir(folder); err != nil || len(others) > 0 {
			return nil, errors.Join(fmt.Errorf("archive: %s holds no files of history", folder), err)
		}
	}
	f := &Folder{path: folder, named: map[string]*file{}}
	for i, name := range names {
		one := &file{ArchiveFile: interlock.ArchiveFile{Name: name}, place: i, names: map[string]bool{}}
		if err := f.look(one); err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		f.files, f.named[name] = append(f.files, one), one
	}
	return f, nil
}

func (f *Folder) archiveFile(name string) (interlock.ArchiveFile, bool) {
	one, ok := f.named[name]
	if !ok {
		return interlock.ArchiveFile{}, false
	}
	return one.ArchiveFile, true
}

// Files is how many there are.
func (f *Folder) Files() int { return len(f.files) }

// look goes through one file.
func (f *Folder) look(one *file) error {
	in, err := os.Open(filepath.Join(f.path, one.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	hash := sha256.New()
	rows := reader{in: bufio.NewReaderSize(io.TeeReader(in, hash), 1<<16)}
	for {
		r, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *lineError
		if errors.As(err, &bad) || err == nil && one.last != nil && compareRows(one.last, r) >= 0 {
			if one.problem == "" {
				one.problem = fmt.Sprintf("%s, line %d: it is no row, or out of order: what comes after it isn't looked at", one.Name, rows.lines)
			}
			continue // for the digest
		}
		if err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
		if one.problem != "" {
			continue
		}
		if one.rows++; one.first == nil {
			one.first = r
		}
		if one.last = r; r.Erased {
			one.Erased++
		}
		if name, ok := r.Input["file"].(string); ok && r.Event == "$archive" {
			one.names[name] = true
		}
	}
	one.SHA256 = hash.Sum(nil)
	info, err := in.Stat()
	one.Size = info.Size()
	return err
}

// maxLine bounds what a file can make us read: rows are shorter, and a longer one
// is refused when it is written.
const maxLine = 64 << 20

type lineError struct{ err error }

func (b *lineError) Error() string { return b.err.Error() }

// reader reads a file row by row.
type reader struct {
	in    *bufio.Reader
	lines int
}

// next is the next row; io.EOF at the end, *lineError where a line isn't one.
func (r *reader) next() (*interlock.Record, error) {
	var text []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(text) <= maxLine {
			text = append(text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return nil, io.EOF
		}
		r.lines++
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(text) > maxLine || err != nil { // too long, or without its end
			return nil, &lineError{errors.New("cut off")}
		}
		break
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	var l line
	if err := dec.Decode(&l); err != nil {
		return nil, &lineError{err}
	}
	if len(bytes.TrimSpace(text[dec.InputOffset():])) > 0 {
		return nil, &lineError{errors.New("more than one value")}
	}
	rec := l.record()
	return &rec, nil
}

func compareRows(a, b *interlock.Record) int {
	return cmp.Or(compareChains(a, b), cmp.Compare(a.Seq, b.Seq))
}

func compareChains(a, b *interlock.Record) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Machine, b.Machine), cmp.Compare(a.Instance, b.Instance))
}
