package anomaly

import "slices"

type edge struct {
	from, to int
	kind     Kind
}

// graph is directed; its nodes are numbers from 0.
type graph struct{ out [][]edge }

func newGraph(n int) *graph { return &graph{out: make([][]edge, n)} }

// grow adds n nodes and returns the first.
func (g *graph) grow(n int) int {
	first := len(g.out)
	g.out = append(g.out, make([][]edge, n)...)
	return first
}

func (g *graph) edge(from, to int, kind Kind) {
	if from != to { // what one transaction did is no order between two
		g.out[from] = append(g.out[from], edge{from, to, kind})
	}
}

// cycles are one for each strongly connected part of more than one node, and as
// short as can be found from its first nodes.
func (g *graph) cycles() [][]edge {
	var all [][]edge
	for _, part := range g.parts() {
		if len(part) < 2 {
			continue
		}
		within := make(map[int]bool, len(part))
		for _, n := range part {
			within[n] = true
		}
		var best []edge
		for _, n := range part[:min(len(part), 200)] {
			if c := g.around(n, within); best == nil || c != nil && len(c) < len(best) {
				best = c
			}
		}
		all = append(all, best)
	}
	return all
}

// around is a shortest cycle through a node, by breadth first.
func (g *graph) around(start int, within map[int]bool) []edge {
	came := map[int]edge{}
	for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
		for _, e := range g.out[queue[0]] {
			if _, seen := came[e.to]; seen || !within[e.to] {
				continue
			}
			came[e.to] = e
			if e.to == start {
				cycle := []edge{e}
				for at := e.from; at != start; at = came[at].from {
					cycle = append(cycle, came[at])
				}
				slices.Reverse(cycle)
				return cycle
			}
			queue = append(queue, e.to)
		}
	}
	return nil
}

// parts are the strongly connected components (Tarjan, "Depth-First Search and
// Linear Graph Algorithms", 1972), without recursion: a run has a long chain.
func (g *graph) parts() [][]int {
	n := len(g.out)
	order, low, on := make([]int, n), make([]int, n), make([]bool, n)
	var stack []int
	var parts [][]int
	count := 0
	type frame struct{ node, next int }
	for root := range n {
		if order[root] != 0 {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.next == 0 {
				count++
				order[f.node], low[f.node], on[f.node] = count, count, true
				stack = append(stack, f.node)
			}
			if f.next < len(g.out[f.node]) {
				to := g.out[f.node][f.next].to
				f.next++
				switch {
				case order[to] == 0:
					frames = append(frames, frame{to, 0})
				case on[to]:
					low[f.node] = min(low[f.node], order[to])
				}
				continue
			}
			node := f.node
			if low[node] == order[node] {
				at := slices.Index(stack, node)
				part := slices.Clone(stack[at:])
				for _, p := range part {
					on[p] = false
				}
				stack = stack[:at]
				parts = append(parts, part)
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				up := frames[len(frames)-1].node
				low[up] = min(low[up], low[node])
			}
		}
	}
	return parts
}
