package kourier

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuoteLine(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"":                                 "",
		"\r\n\r\n":                         "",
		"GET / HTTP/1.1\r\nHost: a\r\n":    `"GET / HTTP/1.1"`,
		"\r\nGET / HTTP/1.1\nHost: a":      `"GET / HTTP/1.1"`,
		"GET /a\rb":                        `"GET /a\rb"`,
		"\x16\x03\x01\x00\xee":             `"\x16\x03\x01\x00\xee"`,
		"GET /" + strings.Repeat("a", 300): `"GET /` + strings.Repeat("a", 195) + `"`,
	} {
		require.Equal(t, want, quoteLine([]byte(data)))
	}
}
