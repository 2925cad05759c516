package kourier

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

// routed returns the pattern whose handler a request gets, "" if it is passed.
func routed(t testing.TB, m *FastMux, found *string, method, path string) string {
	t.Helper()
	raw := parseArrival(t, arrival{1, request(method, "/", "HTTP/1.1")})
	target := []byte(path)
	raw.PathOffset, raw.PathSize = 0, uint32(len(target))
	views := abi.MakeRequest(append(target, method...), nil, nil)
	views.PathSize = uint32(len(target))
	views.MethodOffset, views.MethodSize = uint32(len(target)), uint32(len(method))
	views.Method = raw.Method
	req := Request{raw: &views}
	*found = ""
	if h := m.find(&req); h != nil {
		h(nil, nil)
	}
	return *found
}

func newTestMux(found *string, patterns ...string) *FastMux {
	m := &FastMux{}
	for _, p := range patterns {
		m.Handle(p, func(*Request, *Response) { *found = p })
	}
	return m
}

func TestFastMux(t *testing.T) {
	cases := []struct {
		patterns string
		requests map[string]string // method and path to pattern
	}{
		{"", map[string]string{"GET /": ""}},
		{"GET /food", map[string]string{
			"GET /food": "GET /food", "HEAD /food": "GET /food", "POST /food": "", "GET /food/": "", "GET /foo": "", "GET /foodtruck": "", "GET /": "", "GET *": "",
		}},
		{"/food/", map[string]string{
			"GET /food/": "/food/", "BREW /food/a/b": "/food/", "GET /food": "", "GET /foodtruck": "", "GET /food//": "/food/",
		}},
		{"/", map[string]string{"GET /": "/", "GET /a": "/", "PATCH /a/b/": "/", "OPTIONS *": ""}},
		{"/a/ /a/b/ /a/b/c GET /a/b/c", map[string]string{
			"GET /a/": "/a/", "GET /a/b": "/a/", "GET /a/bc": "/a/", "GET /a/b/": "/a/b/", "GET /a/b/x": "/a/b/",
			"GET /a/b/c": "GET /a/b/c", "HEAD /a/b/c": "GET /a/b/c", "POST /a/b/c": "/a/b/c", "GET /a/b/c/": "/a/b/", "GET /a/b/cd": "/a/b/",
		}},
		{"/{$} /a/ GET /a/{$}", map[string]string{
			"GET /": "/{$}", "GET /x": "", "GET /a/": "GET /a/{$}", "HEAD /a/": "GET /a/{$}", "POST /a/": "/a/", "GET /a/b": "/a/",
		}},
		// The longest path wins among the patterns that match, method included.
		{"POST /a/b /a/", map[string]string{"GET /a/b": "/a/", "POST /a/b": "POST /a/b"}},
		{"GET /a HEAD /a BREW /a /a", map[string]string{
			"GET /a": "GET /a", "HEAD /a": "HEAD /a", "BREW /a": "BREW /a", "STEEP /a": "/a", "DELETE /a": "/a",
		}},
		{"BREW /a", map[string]string{"BREW /a": "BREW /a", "STEEP /a": "", "GET /a": "", "brew /a": ""}},
		{"/team /test /toast /te /t", map[string]string{
			"GET /team": "/team", "GET /test": "/test", "GET /toast": "/toast", "GET /te": "/te", "GET /t": "/t", "GET /tes": "", "GET /to": "", "GET /teams": "",
		}},
		{"/a%20b /~x/ /a:b@c;d=e,f", map[string]string{
			"GET /a%20b": "/a%20b", "GET /~x/y": "/~x/", "GET /a:b@c;d=e,f": "/a:b@c;d=e,f", "GET /a b": "",
		}},
	}
	for _, c := range cases {
		var found string
		m := newTestMux(&found, splitPatterns(c.patterns)...)
		for text, want := range c.requests {
			method, path, _ := strings.Cut(text, " ")
			require.Equal(t, want, routed(t, m, &found, method, path), "%s among %q", text, c.patterns)
		}
	}
}

// splitPatterns splits "/a GET /b" into "/a" and "GET /b".
func splitPatterns(text string) (patterns []string) {
	method := ""
	for _, word := range strings.Fields(text) {
		if word[0] != '/' {
			method = word + " "
			continue
		}
		patterns = append(patterns, method+word)
		method = ""
	}
	return patterns
}

func TestFastMuxPassesWhatItDoesNotKnow(t *testing.T) {
	var m FastMux
	m.Handle("POST /a", sayHello)
	for _, path := range []string{"/a", "/b"} {
		a, _ := one(t, get(path), m.ServeFast)
		require.Equal(t, 404, a.StatusCode)
	}
	a, _ := one(t, request("POST", "/a", "HTTP/1.1"), m.ServeFast)
	require.Equal(t, "Hello World!", a.text)
}

func TestFastMuxRefusesBadPatterns(t *testing.T) {
	for pattern, why := range map[string]string{
		"":                 "does not begin with '/'",
		"a":                "does not begin with '/'",
		"GET":              "does not begin with '/'",
		"GET ":             "does not begin with '/'",
		"GET a":            "does not begin with '/'",
		"example.org/a":    "does not begin with '/'",
		"*":                "does not begin with '/'",
		" /a":              "is not a method",
		"G(T /a":           "is not a method",
		"GET  /a":          "does not begin with '/'",
		"GET /a b":         "' ' cannot stand in a path",
		"GET /a ":          "' ' cannot stand in a path",
		"/a?b":             "'?' cannot stand in a path",
		"/a#b":             "'#' cannot stand in a path",
		"/\xc3\xa4":        "cannot stand in a path",
		"/a\r\nb":          "cannot stand in a path",
		"/%":               "two hex digits",
		"/%4":              "two hex digits",
		"/%4g":             "two hex digits",
		"/{name}":          "wildcards other than {$} at the end are not supported",
		"/a/{$}/b":         "wildcards other than {$} at the end are not supported",
		"/a{$}":            "wildcards other than {$} at the end are not supported",
		"CONNECT /a":       "CONNECT requests have no path",
		"GET /registered":  "registered already",
		"/registered/":     "registered already",
		"BREW /registered": "registered already",
	} {
		var m FastMux
		m.Handle("GET /registered", sayHello)
		m.Handle("/registered/", sayHello)
		m.Handle("BREW /registered", sayHello)
		message := func() (message string) {
			defer func() { message = fmt.Sprint(recover()) }()
			m.Handle(pattern, sayHello)
			return ""
		}()
		require.Contains(t, message, "kourier: FastMux.Handle: pattern ", pattern)
		require.Contains(t, message, why, pattern)
	}
	require.PanicsWithValue(t, `kourier: FastMux.Handle: pattern "/a": the handler is nil`, func() { new(FastMux).Handle("/a", nil) })
}

// naiveRoute is FastMux's documentation put into a loop.
func naiveRoute(patterns []string, method, path string) (best string) {
	rank := func(p pattern) int {
		switch {
		case p.path != path && !(strings.HasSuffix(p.path, "/") && strings.HasPrefix(path, p.path)):
			return 0
		case p.method == method:
			return 4*len(p.path) + 3
		case p.method == "GET" && method == "HEAD":
			return 4*len(p.path) + 2
		case p.method == "":
			return 4*len(p.path) + 1
		}
		return 0
	}
	top := 0
	for _, text := range patterns {
		p, err := parsePattern(text)
		if err == nil && rank(p) > top {
			top, best = rank(p), text
		}
	}
	return best
}

func FuzzFastMux(f *testing.F) {
	f.Add("/ /a /a/ GET /a/b POST /a/b/ HEAD /ab", "GET", "/a/b/c")
	f.Add("GET /food /food/ /foodtruck", "HEAD", "/food")
	f.Add("/aa /ab /b GET /aa/ BREW /a", "BREW", "/a")
	f.Add("/%20 /% //", "GET", "//%20")
	f.Fuzz(func(t *testing.T, text, method, path string) {
		if !isToken(method) || method == "CONNECT" || path == "" {
			t.Skip()
		}
		var patterns []string
		registered := map[string]bool{}
		for _, p := range splitPatterns(text) {
			if _, err := parsePattern(p); err == nil && !registered[p] {
				registered[p] = true
				patterns = append(patterns, p)
			}
		}
		var found string
		m := newTestMux(&found, patterns...)
		require.Equal(t, naiveRoute(patterns, method, path), routed(t, m, &found, method, path), "%q", patterns)
	})
}

// However many slashes a target has, it is walked once.
func BenchmarkFastMux(b *testing.B) {
	var found string
	few := newTestMux(&found, "GET /", "GET /hello", "POST /orders")
	var patterns []string
	for i := range 200 {
		patterns = append(patterns, fmt.Sprintf("GET /api/v%d/things/%d/", i%7, i))
	}
	many := newTestMux(&found, patterns...)
	for _, c := range []struct {
		name string
		mux  *FastMux
		path string
	}{
		{"Few", few, "/hello"},
		{"FewMiss", few, "/unknown"},
		{"Many", many, "/api/v3/things/10/x"},
		{"Slashes", many, strings.Repeat("/", 8000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			raw := parseArrival(b, arrival{1, get(c.path)})
			req := Request{raw: &raw}
			for b.Loop() {
				c.mux.find(&req)
			}
		})
	}
}
