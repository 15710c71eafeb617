package wire

import "net/http"

// SetHeaders sets headers by pairs of name and value, all values in one piece of
// memory. Names are canonical already, as textproto.CanonicalMIMEHeaderKey has them.
func SetHeaders(h http.Header, pairs ...string) {
	values := make([]string, len(pairs)/2)
	for i := range values {
		values[i] = pairs[2*i+1]
		h[pairs[2*i]] = values[i : i+1 : i+1]
	}
}
