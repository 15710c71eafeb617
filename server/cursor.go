package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/interlock-go/interlock/middleware"
)

const minCursorKey = 32

// sealer makes the cipher of cursors: AES-256-GCM, so that a cursor can be
// neither read nor changed nor used for another question.
func sealer(key []byte) (cipher.AEAD, error) {
	if key == nil {
		key = make([]byte, minCursorKey)
		_, _ = rand.Read(key) // never fails, since Go 1.24
	}
	if len(key) < minCursorKey {
		return nil, errors.New("want 32 bytes or more")
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "interlock/cursor/v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// cursor seals a position; question is what the page belongs to: route, tenant,
// names and filters.
func (s *Server) cursor(position string, question ...string) string {
	return strictBase64.EncodeToString(s.cursors.Seal(nil, nil, []byte(position), boundTo(question)))
}

func (s *Server) position(cursor string, question ...string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	if sealed, err := strictBase64.DecodeString(cursor); err == nil {
		if plain, err := s.cursors.Open(nil, nil, sealed, boundTo(question)); err == nil {
			return string(plain), nil
		}
	}
	return "", &middleware.Problem{Code: codeMalformed, Detail: "The cursor is not one of this server for this question; begin again without it."}
}

// boundTo joins by length, so that no two lists of strings look alike.
func boundTo(question []string) []byte {
	var out []byte
	for _, part := range question {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}
