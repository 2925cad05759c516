package kourier

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

func TestStaticResponseIsEncodedForTheCore(t *testing.T) {
	route, err := StaticResponse{Body: []byte("ok\n")}.encode("GET /health")
	require.NoError(t, err)
	require.Equal(t, staticRoute{
		pattern: "GET /health",
		path:    "/health",
		head:    []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"),
		body:    []byte("ok\n"),
		code:    200,
		method:  abi.MethodGet,
	}, route)

	route, err = StaticResponse{Status: 308, Header: http.Header{"Location": {"/new/"}}}.encode("/old/")
	require.NoError(t, err)
	require.Equal(t, staticRoute{
		pattern: "/old/",
		path:    "/old/",
		head:    []byte("HTTP/1.1 308 Permanent Redirect\r\nLocation: /new/\r\nContent-Length: 0\r\n"),
		code:    308,
		method:  abi.MethodOther,
		subtree: true,
	}, route)

	route, err = StaticResponse{Status: 204}.encode("DELETE /a")
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 204 No Content\r\n", string(route.head))
	require.EqualValues(t, abi.MethodDelete, route.method)
}

func TestStaticResponseRefusesWhatItCannotSend(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		response StaticResponse
		want     string
	}{
		{"a", StaticResponse{}, "kourier: Static pattern: \"a\": the path does not begin with '/'"},
		{"BREW /a", StaticResponse{}, "kourier: Static pattern: \"BREW /a\": the method BREW has no static answers"},
		{"/a", StaticResponse{Status: 100}, "kourier: StaticResponse.Status: \"/a\": 100 is not between 200 and 999"},
		{"/a", StaticResponse{Status: 204, Body: []byte("x")}, "kourier: StaticResponse.Body: \"/a\": an answer 204 has no body"},
		{"/a", StaticResponse{Header: http.Header{"Date": {"x"}}}, "kourier: StaticResponse.Header: \"/a\": Date is the server's to send"},
	} {
		_, err := c.response.encode(c.pattern)
		var mistake *ConfigError
		require.ErrorAs(t, err, &mistake)
		require.EqualError(t, err, c.want)
	}
}
