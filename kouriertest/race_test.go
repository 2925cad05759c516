package kouriertest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/kouriertest"
)

// What a handler does happens before its client has the answer, also for the race detector.
func TestAnAnswerComesAfterItsHandler(t *testing.T) {
	var path string
	server := kouriertest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path = r.URL.Path }))
	defer server.Close()
	for _, wanted := range []string{"/a", "/b"} {
		response, err := server.Client().Get(server.URL + wanted)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, wanted, path)
	}
}
