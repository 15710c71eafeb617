package checkpoint

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// GenerateKey makes an Ed25519 key of that name: the private half into a new
// file that only its owner may read, the public half beside it as path + ".pub".
// The name is the checkpoints' origin, such as "example.org/loans"; it has
// neither spaces nor a plus sign.
func GenerateKey(name, path string) (public string, err error) {
	if name == "" || strings.ContainsAny(name, " +\t\r\n") {
		return "", fmt.Errorf("key name %q: want one word such as example.org/loans", name)
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", err
	}
	if err := writeNew(path, []byte(private+"\n"), 0o600); err != nil {
		return "", err
	}
	return public, writeNew(path+".pub", []byte(public+"\n"), 0o644)
}

// ReadSigner reads a private key. It refuses a file that others may read.
func ReadSigner(path string) (note.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("key %s: others may read it (mode %04o); chmod 600 it, and make a new one if somebody did", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("key %s: it isn't a private key of interlock audit keygen", path) // never with its text
	}
	return signer, nil
}

// ReadVerifier takes a public key, or the path of a file that holds one.
func ReadVerifier(keyOrPath string) (note.Verifier, error) {
	if v, err := note.NewVerifier(keyOrPath); err == nil {
		return v, nil
	}
	text, err := os.ReadFile(keyOrPath)
	if err != nil {
		return nil, fmt.Errorf("public key: neither a key nor a file: %w", err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", keyOrPath, err)
	}
	return v, nil
}

// writeNew writes a file that wasn't there, and to the disk before it is seen.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return publish(f.Name(), path)
}

// publish gives a written file its name, unless there is one of that name.
func publish(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return fmt.Errorf("%s: nothing is ever overwritten: %w", to, err)
	}
	if runtime.GOOS == "windows" {
		return nil // a folder can't be synced there
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
