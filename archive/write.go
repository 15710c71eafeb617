package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/interlock-go/interlock"
)

// line is a row as it stands in a file.
type line struct {
	interlock.Transition
	Bytes  []byte    `json:"bytes"`
	Salt   []byte    `json:"salt,omitempty"`
	Erased bool      `json:"erased,omitempty"`
	Stamp  time.Time `json:"stamp"`
}

func lineOf(r *interlock.Record) line {
	return line{r.Transition, r.Bytes, r.Salt, r.Erased, r.Stamp}
}

// record is the row again. One that says that its texts were erased has none.
func (l *line) record() interlock.Record {
	r := interlock.Record{Transition: l.Transition, Bytes: l.Bytes, Salt: l.Salt, Erased: l.Erased, Stamp: l.Stamp}
	if r.Erased {
		r.Note, r.Input, r.Facts, r.Salt = "", nil, nil, nil
	}
	return r
}

// encode is a file's content. What reading refuses is an error here: rows leave the
// store for files that can be read.
func encode(rows []interlock.Record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i := range rows {
		if err := enc.Encode(lineOf(&rows[i])); err != nil {
			return nil, fmt.Errorf("archive %s/%s/%s, row %d: %w", rows[i].Tenant, rows[i].Machine, rows[i].Instance, rows[i].Seq, err)
		}
	}
	back := reader{in: bufio.NewReaderSize(bytes.NewReader(b.Bytes()), 1<<16)}
	for i := range rows {
		r, err := back.next()
		if err == nil && (compareRows(r, &rows[i]) != 0 || !bytes.Equal(r.Hash, rows[i].Hash) || i > 0 && compareRows(&rows[i-1], r) >= 0) {
			err = errors.New("it is out of order, or comes back as another")
		}
		if err != nil {
			return nil, fmt.Errorf("archive %s/%s/%s, row %d: it couldn't be read again: %w", rows[i].Tenant, rows[i].Machine, rows[i].Instance, rows[i].Seq, err)
		}
	}
	return b.Bytes(), nil
}

// Write adds a file with these rows, in the order of their chains, to a folder,
// which is made if need be. When it returns, file and folder are on the disk.
// Only their owner may read them: they hold what people wrote.
func Write(folder string, rows []interlock.Record) (interlock.ArchiveFile, error) {
	content, err := encode(rows)
	if err != nil {
		return interlock.ArchiveFile{}, err
	}
	if err := makeFolder(folder); err != nil {
		return interlock.ArchiveFile{}, fmt.Errorf("archive: %w", err)
	}
	newest := 0
	names, err := namesIn(folder)
	if err != nil {
		return interlock.ArchiveFile{}, fmt.Errorf("archive: %w", err)
	}
	if len(names) > 0 {
		newest = numberOf(names[len(names)-1])
	}
	sum := sha256.Sum256(content)
	name := fmt.Sprintf("history-%08d-%x.ndjson", newest+1, sum[:6])
	if err := publish(filepath.Join(folder, name), content, os.Link); err != nil {
		return interlock.ArchiveFile{}, fmt.Errorf("archive: %w", err)
	}
	return interlock.ArchiveFile{Name: name, SHA256: sum[:], Size: int64(len(content))}, nil
}

// Make makes a folder for an archive that has no rows yet, unless it is there: it is
// on the disk when it returns, for its owner alone. [Read] takes it as it is.
func Make(folder string) error {
	if err := makeFolder(folder); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// makeFolder makes one that outlives a loss of power, those above it first. Each
// has its name on the disk before another is made in it; the first that is there
// already gets it now, for a run may have ended right after it was made.
func makeFolder(folder string) error {
	above := filepath.Dir(filepath.Clean(folder))
	_, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeFolder(above); err != nil {
			return err
		}
		if err = os.Mkdir(folder, 0o700); errors.Is(err, fs.ErrExist) {
			err = nil // by somebody else, right now
		}
	}
	if err != nil {
		return err
	}
	return syncFolder(above)
}

// publish writes a file and then gives it its name: by os.Link, which overwrites
// nothing, or by os.Rename.
func publish(path string, content []byte, name func(from, to string) error) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".new-*") // for its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := name(f.Name(), path); err != nil {
		return fmt.Errorf("%s: %w", path, err) // of a link: nothing is ever overwritten
	}
	return syncFolder(folder)
}

var syncFolder = func(folder string) error {
	if runtime.GOOS == "windows" {
		return nil // it can't be synced there
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
