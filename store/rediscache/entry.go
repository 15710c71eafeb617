package rediscache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
)

// A value in Redis is a head in fixed decimal columns, which the scripts read,
// and a body, which only Go reads:
//
//	"IL1:" version(20) expires-ms(15) floor(20) floor-until-ms(15) | length(8) key payload [mac(32)]
//
// The body is empty for a floor without an entry. Key is the whole Redis key.
const (
	magic        = "IL1:"
	versionWidth = 20
	timeWidth    = 15
	headLen      = len(magic) + 2*versionWidth + 2*timeWidth
	lengthLen    = 8
	withKey      = "mac:"
	macLen       = sha256.Size
)

var (
	errMiss     = errors.New("no entry")
	errWrongKey = errors.New("the entry of another key")
	errForged   = errors.New("an entry without the right authentication code")
)

// name is the Redis key. Each part has its length before it, so that no two
// tuples share a name. Authenticated entries have names of their own: gates with
// and without a key don't read each other's.
func (c *Cache) name(epoch string, k interlock.CacheKey) string {
	parts := [...]string{epoch, k.Kind, k.Tenant, k.Machine, k.ID}
	size := len(c.cfg.Prefix) + len(withKey)
	for _, part := range parts {
		size += len(part) + 4 // of a length with its colon, as a rule
	}
	b := append(make([]byte, 0, size), c.cfg.Prefix...)
	if len(c.cfg.Key) > 0 {
		b = append(b, withKey...)
	}
	for _, part := range parts {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(b, ':')
		b = append(b, part...)
	}
	return string(b)
}

// seal makes the body of an entry.
func (c *Cache) seal(name string, version int64, expires time.Time, payload []byte) []byte {
	body := make([]byte, 0, lengthLen+len(name)+len(payload)+macLen)
	body = binary.BigEndian.AppendUint64(body, uint64(len(name)))
	body = append(body, name...)
	body = append(body, payload...)
	if len(c.cfg.Key) == 0 {
		return body
	}
	return append(body, c.mac(fixed(version, versionWidth)+fixed(expires.UnixMilli(), timeWidth), body)...)
}

func (c *Cache) mac(head string, body []byte) []byte {
	h := hmac.New(sha256.New, c.cfg.Key)
	h.Write([]byte("interlock cache entry 1\n" + head)) // of fixed length
	h.Write(body)
	return h.Sum(nil)
}

// open verifies a value: anything that isn't an entry of just this key, still
// good, is an error.
func (c *Cache) open(name, value string, now time.Time) (version int64, payload []byte, err error) {
	if len(value) <= headLen || !strings.HasPrefix(value, magic) {
		return 0, nil, errMiss
	}
	head, body := value[len(magic):headLen], value[headLen:]
	version, ok1 := digits(head[:versionWidth])
	expires, ok2 := digits(head[versionWidth : versionWidth+timeWidth])
	if !ok1 || !ok2 || version == 0 || len(body) < lengthLen {
		return 0, nil, errMiss
	}
	length := binary.BigEndian.Uint64([]byte(body[:lengthLen]))
	rest := body[lengthLen:]
	if length > uint64(len(rest)) {
		return 0, nil, errMiss
	}
	if rest[:length] != name {
		return 0, nil, errWrongKey
	}
	rest = rest[length:]
	if len(c.cfg.Key) > 0 {
		if len(rest) < macLen {
			return 0, nil, errForged
		}
		signed := body[:len(body)-macLen]
		if !hmac.Equal([]byte(rest[len(rest)-macLen:]), c.mac(head[:versionWidth+timeWidth], []byte(signed))) {
			return 0, nil, errForged
		}
		rest = rest[:len(rest)-macLen]
	}
	if len(rest) == 0 || !now.Before(time.UnixMilli(expires)) {
		return 0, nil, errMiss
	}
	return version, []byte(rest), nil
}

// digits reads what fixed wrote, and nothing else that ParseInt would take.
func digits(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
