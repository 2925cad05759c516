package report

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServersLookDifferent(t *testing.T) {
	look := newLook([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
	seen := map[style]string{}
	for name, s := range look {
		s.filled, s.hollow = nil, nil
		require.Empty(t, seen[s], name)
		seen[s] = name
	}
}
