package kourier

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kourier-go/kourier/internal/abi"
)

// A FastMux routes requests to Fast handlers by method and path. Its zero value
// is ready for use; its ServeFast is a [FastHandler]:
//
//	var mux kourier.FastMux
//	mux.Handle("GET /food", menu)
//	server := kourier.Server{Fast: mux.ServeFast}
//
// The pattern "GET /food" matches that path, "GET /food/" that path and all below
// it ("/food/" never catches "/food" or "/foodtruck"), "/" every path, and
// "GET /food/{$}" only "/food/", as with [http.ServeMux].
// Without a method a pattern matches any method; GET matches HEAD too. Of the
// patterns that match a request the one with the longest path wins, and of
// those one with a method before one without, and HEAD before GET.
//
// Paths are compared as they are on the wire: percent-encoding is not decoded,
// and dot segments and double slashes are not removed. What no pattern matches,
// also if only its method is another, is passed ([Response.Pass]), and so answered 404.
//
// All Handle calls must come before the first request.
type FastMux struct {
	_    [0]func()
	root muxNode
}

// A muxNode is a node of a radix tree over the bytes of paths.
type muxNode struct {
	prefix   string // what the path must go on with to get here from the parent
	firsts   string // first byte of each child's prefix
	children []*muxNode
	exact    *muxLeaf // of the patterns for the path that ends here
	below    *muxLeaf // of the patterns for it and all below; it ends with '/' then
}

// A muxLeaf holds the handlers of the patterns with one path.
type muxLeaf struct {
	byMethod [len(methodNames)]FastHandler // what answers each method; by abi.Method…
	others   map[string]FastHandler        // methods that have no number
	exact    [len(methodNames)]bool        // byMethod comes from a pattern with just this method
	any      FastHandler                   // from the pattern without a method
}

// Handle registers h for pattern. It panics if the pattern is not a path, or a
// method and a path with one space between them, or is registered already, and
// if h is nil.
func (m *FastMux) Handle(pattern string, h FastHandler) {
	route, err := parsePattern(pattern)
	if err != nil {
		panic(fmt.Sprintf("kourier: FastMux.Handle: pattern %q: %v", pattern, err))
	}
	if h == nil {
		panic(fmt.Sprintf("kourier: FastMux.Handle: pattern %q: the handler is nil", pattern))
	}
	if !m.root.insert(route.path).leaf(route.subtree).add(route, h) {
		panic(fmt.Sprintf("kourier: FastMux.Handle: pattern %q is registered already", pattern))
	}
}

// ServeFast gives the request to the handler of the pattern that matches it
// best, or passes it.
func (m *FastMux) ServeFast(req *Request, res *Response) {
	if h := m.find(req); h != nil {
		h(req, res)
		return
	}
	res.Pass()
}

// find walks down the tree as long as the path agrees, and keeps the handler of
// the deepest leaf that has one for the method.
func (m *FastMux) find(req *Request) (found FastHandler) {
	path := req.Path()
	node := &m.root
	for {
		if node.below != nil {
			if h := node.below.handler(req); h != nil {
				found = h
			}
		}
		if len(path) == 0 {
			if node.exact != nil {
				if h := node.exact.handler(req); h != nil {
					found = h
				}
			}
			return found
		}
		next := node.child(path[0])
		if next == nil || len(path) < len(next.prefix) {
			return found
		}
		if len(next.prefix) > 1 && string(path[1:len(next.prefix)]) != next.prefix[1:] {
			return found
		}
		path = path[len(next.prefix):]
		node = next
	}
}

func (n *muxNode) child(first byte) *muxNode {
	for i := 0; i < len(n.firsts); i++ {
		if n.firsts[i] == first {
			return n.children[i]
		}
	}
	return nil
}

// leaf returns one of the leaves of n, and makes it if need be.
func (n *muxNode) leaf(subtree bool) *muxLeaf {
	at := &n.exact
	if subtree {
		at = &n.below
	}
	if *at == nil {
		*at = &muxLeaf{}
	}
	return *at
}

// insert returns the node for path below n, and makes it if need be.
func (n *muxNode) insert(path string) *muxNode {
	if path == "" {
		return n
	}
	next := n.child(path[0])
	if next == nil {
		next = &muxNode{prefix: path}
		n.firsts += path[:1]
		n.children = append(n.children, next)
	}
	shared := 0
	for shared < len(path) && shared < len(next.prefix) && path[shared] == next.prefix[shared] {
		shared++
	}
	if shared < len(next.prefix) {
		next.split(shared)
	}
	return next.insert(path[shared:])
}

// split cuts n in two, so that its prefix ends after size bytes.
func (n *muxNode) split(size int) {
	rest := &muxNode{prefix: n.prefix[size:], firsts: n.firsts, children: n.children, exact: n.exact, below: n.below}
	*n = muxNode{prefix: n.prefix[:size], firsts: rest.prefix[:1], children: []*muxNode{rest}}
}

func (l *muxLeaf) handler(req *Request) FastHandler {
	number := req.raw.Method
	if number == abi.MethodOther && l.others != nil {
		if h := l.others[string(req.raw.Bytes(req.raw.MethodOffset, req.raw.MethodSize))]; h != nil {
			return h
		}
	}
	if int(number) < len(l.byMethod) {
		return l.byMethod[number]
	}
	return nil
}

// add registers h; false if the route has a handler.
func (l *muxLeaf) add(route pattern, h FastHandler) bool {
	number := route.methodNumber()
	switch {
	case route.method == "":
		if l.any != nil {
			return false
		}
		l.any = h
	case number == abi.MethodOther:
		if l.others[route.method] != nil {
			return false
		}
		if l.others == nil {
			l.others = make(map[string]FastHandler)
		}
		l.others[route.method] = h
	default:
		if l.exact[number] {
			return false
		}
		l.exact[number] = true
		l.byMethod[number] = h
	}
	l.fillGaps()
	return true
}

// fillGaps gives the methods without a pattern of their own to GET's, if it is
// HEAD, and else to that for any method.
func (l *muxLeaf) fillGaps() {
	for number := range l.byMethod {
		switch {
		case l.exact[number]:
		case number == abi.MethodHead && l.exact[abi.MethodGet]:
			l.byMethod[number] = l.byMethod[abi.MethodGet]
		default:
			l.byMethod[number] = l.any
		}
	}
}

// A pattern says which requests a route is for.
type pattern struct {
	method  string // "" for any
	path    string
	subtree bool // everything below path matches as well; path ends with '/' then
}

// onlyThis ends a pattern that ends with '/' and is not for what is below.
const onlyThis = "{$}"

// methodNumber returns abi.Method…, MethodOther for any method and for one without a number.
func (p pattern) methodNumber() uint8 {
	for number, name := range methodNames {
		if number != abi.MethodOther && name == p.method {
			return uint8(number)
		}
	}
	return abi.MethodOther
}

// String returns the pattern as it is written.
func (p pattern) String() string {
	text := p.path
	if p.method != "" {
		text = p.method + " " + p.path
	}
	if !p.subtree && strings.HasSuffix(p.path, "/") {
		text += onlyThis
	}
	return text
}

// parsePattern reads "GET /food", "/food/" or "/food/{$}".
func parsePattern(text string) (pattern, error) {
	method, path, found := strings.Cut(text, " ")
	if !found {
		method, path = "", text
	}
	subtree := strings.HasSuffix(path, "/")
	if !subtree && strings.HasSuffix(path, "/"+onlyThis) {
		path = strings.TrimSuffix(path, onlyThis)
	}
	switch {
	case found && !isToken(method):
		return pattern{}, errors.New("what stands before the space is not a method")
	case method == "CONNECT":
		return pattern{}, errors.New("CONNECT requests have no path")
	case path == "" || path[0] != '/':
		return pattern{}, errors.New("the path does not begin with '/'")
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '{' || c == '}':
			return pattern{}, errors.New("wildcards other than {$} at the end are not supported")
		case c == '%' && !(i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2])):
			return pattern{}, errors.New("a '%' is not followed by two hex digits")
		case !pathBytes[c]:
			return pattern{}, fmt.Errorf("%q cannot stand in a path", c)
		}
	}
	return pattern{method: method, path: path, subtree: subtree}, nil
}

// pathBytes holds the bytes that may stand in a path: pchar and '/', RFC 3986 §3.3.
var pathBytes = func() (set [256]bool) {
	const allowed = "-._~!$&'()*+,;=:@/%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, c := range []byte(allowed) {
		set[c] = true
	}
	return set
}()

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
