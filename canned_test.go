package kourier

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanned(t *testing.T) {
	body := []byte("<html>")
	tag := strings.ToLower("X-Tag") // no canonical name
	header := http.Header{"Set-Cookie": {"a=b", "c=d"}, tag: {`"x"`}}
	c, err := Canned(0, header, body)
	require.NoError(t, err)
	body[0] = 'x' // it was copied
	header[tag][0] = "y"
	a, core := one(t, get("/"), func(_ *Request, res *Response) { res.Canned(c) })
	require.Equal(t, 200, a.StatusCode)
	require.Equal(t, "<html>", a.text)
	require.Equal(t, http.Header{
		"Set-Cookie": {"a=b", "c=d"}, "X-Tag": {`"x"`}, "Content-Type": {"text/html; charset=utf-8"},
		"Content-Length": {"6"}, "Date": {"Sun, 06 Nov 1994 08:49:37 GMT"},
	}, a.Header)
	require.Zero(t, core.writes)
}

func TestCannedLargerThanTheBufferIsNotCopied(t *testing.T) {
	c, err := Canned(200, nil, sized(directBodyMax+1))
	require.NoError(t, err)
	require.Nil(t, c.tail)
	a, core := one(t, get("/"), func(_ *Request, res *Response) { res.Canned(c) })
	require.Equal(t, string(sized(directBodyMax+1)), a.text)
	require.Equal(t, 1, core.writes)
}

func TestCannedGuessesATypeUnlessItIsGiven(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		want   string
	}{
		{nil, "Content-Type: text/html; charset=utf-8\r\n"},
		{http.Header{"content-type": {"a/b"}}, "content-type: a/b\r\n"},
		{http.Header{"Content-Type": nil}, ""},
		{http.Header{"Content-Encoding": {"gzip"}}, "Content-Encoding: gzip\r\n"},
	} {
		canned, err := Canned(200, c.header, []byte("<html>"))
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 200 OK\r\n"+c.want+"Content-Length: 6\r\n", string(canned.head))
	}
	empty, err := Canned(301, http.Header{"Location": {"/a"}}, nil)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 301 Moved Permanently\r\nLocation: /a\r\nContent-Length: 0\r\n", string(empty.head))
}

func TestCannedRefusesWhatItCannotSend(t *testing.T) {
	for _, c := range []struct {
		status      int
		header      http.Header
		body, field string
		why         string
	}{
		{99, nil, "", "Canned.Status", "99 is not between 200 and 999"},
		{101, nil, "", "Canned.Status", "101 is not between 200 and 999"},
		{1000, nil, "", "Canned.Status", "1000 is not between 200 and 999"},
		{204, nil, "x", "Canned.Body", "an answer 204 has no body"},
		{205, nil, "x", "Canned.Body", "an answer 205 has no body"},
		{304, nil, "x", "Canned.Body", "an answer 304 has no body"},
		{200, http.Header{"X A": {"b"}}, "", "Canned.Header", `"X A" is not a field name`},
		{200, http.Header{"": {"b"}}, "", "Canned.Header", `"" is not a field name`},
		{200, http.Header{"X-A": {"b\r\nEvil: c"}}, "", "Canned.Header", "has a byte that no field value may have"},
		{200, http.Header{"date": {"x"}}, "", "Canned.Header", "Date is the server's to send"},
		{200, http.Header{"Content-Length": {"1"}}, "x", "Canned.Header", "Content-Length is the server's to send"},
		{200, http.Header{"Connection": {"close"}}, "", "Canned.Header", "Connection is the server's to send"},
	} {
		_, err := Canned(c.status, c.header, []byte(c.body))
		var mistake *ConfigError
		require.ErrorAs(t, err, &mistake)
		require.Equal(t, c.field, mistake.Field)
		require.Contains(t, mistake.Why, c.why)
		require.True(t, strings.HasPrefix(err.Error(), "kourier: "+c.field+": "))
	}
}
