package sqlstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// witness is what a process remembers of a store outside of it.
type witness struct {
	Epoch string `json:"epoch"`
	Mark  string `json:"mark"`
}

// seen is the newest witness, and the file that keeps it.
type seen struct {
	file string // "": none
	mu   sync.Mutex
	last witness
}

// WitnessIn makes the store keep its witness in the file, before it is used.
func (s *Store) WitnessIn(file string) { s.seen.file = file }

func (s *seen) where() string {
	if s.file == "" {
		return ""
	}
	return " (" + s.file + " says so)"
}

// readWitness reads the file; there being none is a first start.
func readWitness(file string) (w witness, err error) {
	if file == "" {
		return w, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	if err == nil && (w.Epoch == "" || w.Mark == "") {
		err = errors.New("it names no epoch and mark")
	}
	if err != nil {
		return w, fmt.Errorf("witness %s: %w; put it back, or remove it if the store is as it was left", file, err)
	}
	return w, nil
}

// remember keeps w, in the file too: written whole and on the disk, or the
// former stays.
func (s *Store) remember(w witness) error {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	if s.seen.file != "" {
		if err := replaceFile(s.seen.file, w); err != nil {
			return fmt.Errorf("witness %s: %w", s.seen.file, err)
		}
	}
	s.seen.last = w
	return nil
}

func replaceFile(file string, w witness) (err error) {
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	// Some file systems sync no folders; the name is then as safe as they make it.
	_ = d.Sync()
	return d.Close()
}
