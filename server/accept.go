package server

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/interlock-go/interlock/middleware"
)

// acceptable chooses among the offers, best first, by the Accept header
// (RFC 9110, 12.5.1): the most specific range that fits an offer gives its
// weight. Without the header everything is acceptable; a header that can't be
// read accepts nothing.
func acceptable(r *http.Request, offers ...string) (string, error) {
	headers := r.Header.Values("Accept")
	if len(headers) == 0 {
		return offers[0], nil
	}
	var ranges []acceptRange
	for item := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		one, ok := parseRange(item)
		if !ok {
			return "", notAcceptable(offers)
		}
		ranges = append(ranges, one)
	}
	best, weight := "", 0.0
	for _, offer := range offers {
		if q := weightOf(offer, ranges); q > weight {
			best, weight = offer, q
		}
	}
	if best == "" {
		return "", notAcceptable(offers)
	}
	return best, nil
}

func notAcceptable(offers []string) error {
	return &middleware.Problem{Code: codeAccept, Detail: "This address answers with " + strings.Join(offers, ", ") + "."}
}

type acceptRange struct {
	kind, subtype string
	weight        float64
}

func parseRange(item string) (acceptRange, bool) {
	media, params, err := mime.ParseMediaType(item)
	if err != nil {
		return acceptRange{}, false
	}
	kind, subtype, found := strings.Cut(media, "/")
	if !found || kind == "" || subtype == "" || kind == "*" && subtype != "*" {
		return acceptRange{}, false
	}
	weight := 1.0
	if q, given := params["q"]; given {
		if weight, err = strconv.ParseFloat(q, 64); err != nil || weight < 0 || weight > 1 {
			return acceptRange{}, false
		}
	}
	return acceptRange{kind, subtype, weight}, true
}

func weightOf(offer string, ranges []acceptRange) float64 {
	kind, subtype, _ := strings.Cut(offer, "/")
	weight, specific := 0.0, -1
	for _, r := range ranges {
		level := -1
		switch {
		case r.kind == kind && r.subtype == subtype:
			level = 2
		case r.kind == kind && r.subtype == "*":
			level = 1
		case r.kind == "*":
			level = 0
		}
		if level > specific {
			weight, specific = r.weight, level
		}
	}
	return weight
}
