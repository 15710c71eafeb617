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
	svgLabels  = 430 // of the column with the names
	svgBars    = 380 // of the bars' column; the target stands at a third of it
	svgLine    = 26
	svgHeading = 56
	svgDecades = 3.0 // from a tenth of the target to a hundred times it
)

const svgStyle = `
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.heading { font-size: 16px; font-weight: 600 }
.quiet { fill: #59636e; font-size: 12px }
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
	}{{0.1, "a tenth"}, {1, "target"}, {10, "10×"}, {100, "100×"}} {
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
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s <tspan class="quiet">%s</tspan></text>`, svgLabels-12, y+17, html.EscapeString(r.Path), html.EscapeString(r.PeerName))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, svgLabels, y+5, max(2, end-svgLabels), svgLine-10)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s <tspan class="quiet">(%s)</tspan></text></g>`+"\n", svgLabels+svgBars+12, y+17, short(r.Ratio), html.EscapeString(r.Target))
	}
	fmt.Fprintln(&b, "</svg>")
	return b.Bytes()
}

// svgX is where a score stands: a tenth of the target at the left end, a hundred times at the right.
func svgX(score float64) float64 {
	if math.IsNaN(score) || score <= 0 {
		score = 0.1
	}
	at := (math.Log10(score) + 1) / svgDecades
	return svgLabels + svgBars*min(1, max(0, at))
}
