package kourier

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestViewsArePoisonedOnceTheirHandlerHasReturned(t *testing.T) {
	if !poisoning {
		t.Skip("needs -race or -tags kourier_debug")
	}
	var kept [][]byte
	core := newFakeCore(t)
	sent := core.answer(func(req *Request, res *Response) {
		body, _ := req.Body()
		kept = append(kept, req.Target(), req.Path(), req.Query(), req.Host(), req.Header("X-A"), body)
		for name, value := range req.Headers() {
			kept = append(kept, name, value)
		}
		res.Send("text/plain", body)
	}, arrival{1, request("POST", "/path?query", "HTTP/1.1", "X-A: b", "Content-Length: 4") + "body"}, arrival{1, get("/next")})
	require.Equal(t, "body", readAnswers(t, sent[1], "POST", "GET")[0].text)
	require.NotEmpty(t, kept)
	for _, view := range kept {
		for _, b := range view {
			require.EqualValues(t, 0xDB, b, "%q", view)
		}
	}
}

// A request that the core will ask about again stays as it is.
func TestUnansweredRequestsAreNotPoisoned(t *testing.T) {
	core := newFakeCore(t)
	core.answer(func(_ *Request, res *Response) { res.Close() }, arrival{1, get("/a")}, arrival{1, get("/b")})
	raw := &core.raws[1]
	require.Equal(t, "/b", string(raw.Bytes(raw.PathOffset, raw.PathSize)))
}
