package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/interlock-go/interlock"
)

// merge gives the rows of all files in the order of their chains. Only files are
// open within which the walk stands: about as many as there were runs.
type merge struct {
	folder  *Folder
	waiting []*file // by their first row
	open    []*cursor
}

// cursor stands in one file.
type cursor struct {
	*file
	in   *os.File
	rows reader
	left int64
	row  *interlock.Record // at which it stands
}

func (f *Folder) merge() *merge {
	m := &merge{folder: f}
	for _, one := range f.files {
		if one.rows > 0 {
			m.waiting = append(m.waiting, one)
		}
	}
	slices.SortStableFunc(m.waiting, func(a, b *file) int { return compareRows(a.first, b.first) })
	return m
}

// peek is the next row; nil at the end. Where several files have it, that of the
// newest: the older ones are of runs that ended before the rows had left.
func (m *merge) peek() (*interlock.Record, error) {
	for {
		var next *cursor
		for _, c := range m.open {
			if next == nil {
				next = c
				continue
			}
			if n := compareRows(c.row, next.row); n < 0 || n == 0 && c.place > next.place {
				next = c
			}
		}
		if len(m.waiting) == 0 || next != nil && compareRows(m.waiting[0].first, next.row) > 0 {
			if next == nil {
				return nil, nil
			}
			return next.row, nil
		}
		if err := m.enter(m.waiting[0]); err != nil {
			return nil, err
		}
		m.waiting = m.waiting[1:]
	}
}

func (m *merge) enter(f *file) error {
	in, err := os.Open(filepath.Join(m.folder.path, f.Name))
	if err != nil {
		return err
	}
	c := &cursor{file: f, in: in, left: f.rows}
	c.rows.in = bufio.NewReaderSize(in, 1<<16)
	m.open = append(m.open, c)
	return c.advance()
}

// drop goes on behind a row that peek gave.
func (m *merge) drop(r *interlock.Record) error {
	for _, c := range m.open {
		if compareRows(c.row, r) != 0 {
			continue
		}
		if err := c.advance(); err != nil {
			return err
		}
	}
	m.open = slices.DeleteFunc(m.open, func(c *cursor) bool {
		if c.row == nil {
			_ = c.in.Close() // it was only read
		}
		return c.row == nil
	})
	return nil
}

func (m *merge) close() {
	for _, c := range m.open {
		_ = c.in.Close() // it was only read
	}
}

// advance reads as many rows as were there when the folder was read.
func (c *cursor) advance() error {
	if c.row = nil; c.left == 0 {
		return nil
	}
	c.left--
	r, err := c.rows.next()
	if errors.Is(err, io.EOF) {
		err = errors.New("it is shorter than it was a moment ago")
	}
	if err != nil {
		return fmt.Errorf("archive: %s: %w", c.Name, err)
	}
	c.row = r
	return nil
}
