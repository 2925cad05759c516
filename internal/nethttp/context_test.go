package nethttp

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSetContextChangesNothingElse(t *testing.T) {
	require.Positive(t, contextOffset, "this Go keeps it elsewhere: each request is copied")
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, 1)
	for _, offset := range []int{contextOffset, -1} {
		for _, r := range []*http.Request{{}, {Method: "GET", Proto: "HTTP/1.1", Host: "a", RequestURI: "/", Pattern: "/", ContentLength: 7}} {
			want := r.WithContext(ctx)
			setContext(r, ctx, offset)
			require.Same(t, ctx, r.Context())
			require.Equal(t, want, r)
		}
	}
}
