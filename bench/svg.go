package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// Sizes of the drawing.
const (
	svgWidth   = 960
	svgLabels  = 400 // of the column with the names
	svgBars    = 420 // of the bars' column; the target stands in its middle
	svgLine    = 38
	svgHeading = 64
	svgLowest  = -2.0 // decades: a hundredth of the target
	svgHighest = 2.0
)

const svgStyle = `
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.heading { font-size: 16px; font-weight: 600 }
.quiet { fill: #59636e; font-size: 11px }
.met { fill: #1a7f64 } .missed { fill: #bc4c00 }
.target { stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 4 3 }
.grid { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
	text { fill: #f0f6fc } .quiet { fill: #9198a1 }
	.met { fill: #3fb68b } .missed { fill: #e0823d }
	.target { stroke: #f0f6fc } .grid { stroke: #3d444d }
}`

// drawing is a bar a row, on a logarithmic scale of what is reached of the
// target: a bar that passes the dashed line meets it.
func drawing(rows []row) []byte {
	var b bytes.Buffer
	height := svgHeading + svgLine*len(rows) + 24
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Measured ratios against their targets">`, svgWidth, height)
	fmt.Fprintf(&b, "\n<style>%s\n</style>\n", svgStyle)
	fmt.Fprintln(&b, `<text class="heading" x="12" y="24">Ratios against targets</text>`)
	for _, mark := range []struct {
		score float64
		text  string
	}{{0.01, "1/100"}, {0.1, "1/10"}, {1, "target"}, {10, "10×"}, {100, "100×"}} {
		x, class := svgX(mark.score), "grid"
		if mark.score == 1 {
			class = "target"
		}
		fmt.Fprintf(&b, `<line class="%s" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/><text class="quiet" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			class, x, svgHeading-8, x, height-16, x, svgHeading-14, mark.text)
	}
	for i, r := range rows {
		y := svgHeading + svgLine*i
		class, end := "met", svgX(r.goal.score(r.Ratio))
		if !r.Met {
			class = "missed"
		}
		fmt.Fprintf(&b, `<g><title>%s</title>`, html.EscapeString(fmt.Sprintf("%s: %s %s against %s %s (%s); ratio %s, target %s",
			r.Path, short(r.Ours), r.Unit, short(r.Peer), r.Unit, r.PeerName, short(r.Ratio), r.Target)))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><text class="quiet" x="%d" y="%d" text-anchor="end">%s</text>`,
			svgLabels-12, y+15, html.EscapeString(r.Path), svgLabels-12, y+29, html.EscapeString(r.PeerName))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, svgLabels, y+8, max(2, end-svgLabels), svgLine-20)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text><text class="quiet" x="%d" y="%d">%s</text></g>`+"\n",
			svgLabels+svgBars+16, y+15, short(r.Ratio), svgLabels+svgBars+16, y+29, html.EscapeString(r.Target))
	}
	fmt.Fprintln(&b, "</svg>")
	return b.Bytes()
}

// svgX is where a score stands; what is beyond an end stands there.
func svgX(score float64) float64 {
	at := 0.0
	if score > 0 {
		at = (math.Log10(score) - svgLowest) / (svgHighest - svgLowest)
	}
	return svgLabels + svgBars*min(1, max(0, at))
}
