package main

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// form returns a multipart body with one file, and its type.
func form(t *testing.T, name, content string) (body, contentType string) {
	t.Helper()
	var buffer bytes.Buffer
	w := multipart.NewWriter(&buffer)
	require.NoError(t, w.WriteField("comment", "comes before the file"))
	part, err := w.CreateFormFile("file", name)
	require.NoError(t, err)
	_, err = part.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buffer.String(), w.FormDataContentType()
}

func (c *client) upload(name, content string) answer {
	c.t.Helper()
	body, contentType := form(c.t, name, content)
	return c.ask("POST", "/files", body, "Content-Type", contentType)
}

func TestFilesComeBackAsTheyWere(t *testing.T) {
	content := strings.Repeat("0123456789", 5000)
	onEachEngine(t, func(c *client) {
		stored := c.upload("a file.txt", content)
		require.Equal(c.t, 201, stored.StatusCode, stored.body)
		path := stored.Header.Get("Location")
		require.Equal(c.t, "/files/a%20file.txt", path)
		var f file
		stored.json(c.t, &f)
		require.EqualValues(c.t, len(content), f.Size)

		a := c.ask("GET", path, "")
		require.Equal(c.t, 200, a.StatusCode)
		require.Equal(c.t, content, a.body)
		require.Equal(c.t, "text/plain; charset=utf-8", a.Header.Get("Content-Type"))
		require.Equal(c.t, `attachment; filename="a file.txt"`, a.Header.Get("Content-Disposition"))
		require.EqualValues(c.t, len(content), c.ask("HEAD", path, "").ContentLength)

		require.Equal(c.t, 201, c.upload("a file.txt", "replaced").StatusCode)
		require.Equal(c.t, "replaced", c.ask("GET", path, "").body)
		var all struct{ Files []file }
		c.ask("GET", "/files", "").json(c.t, &all)
		require.Len(c.t, all.Files, 1)

		require.Equal(c.t, 204, c.ask("DELETE", path, "").StatusCode)
		require.Equal(c.t, 404, c.ask("DELETE", path, "").StatusCode)
		require.Equal(c.t, 404, c.ask("GET", path, "").StatusCode)
	})
}

func TestDownloadsMayBePartialAndConditional(t *testing.T) {
	onEachEngine(t, func(c *client) {
		path := c.upload("digits", "0123456789").Header.Get("Location")
		whole := c.ask("GET", path, "")
		tag, modified := whole.Header.Get("ETag"), whole.Header.Get("Last-Modified")
		require.NotEmpty(c.t, tag)

		part := c.ask("GET", path, "", "Range", "bytes=2-5")
		require.Equal(c.t, 206, part.StatusCode)
		require.Equal(c.t, "2345", part.body)
		require.Equal(c.t, "bytes 2-5/10", part.Header.Get("Content-Range"))
		require.Equal(c.t, "89", c.ask("GET", path, "", "Range", "bytes=-2").body)
		require.Equal(c.t, "89", c.ask("GET", path, "", "Range", "bytes=8-", "If-Range", tag).body)
		require.Equal(c.t, 200, c.ask("GET", path, "", "Range", "bytes=8-", "If-Range", `"other"`).StatusCode)
		require.Equal(c.t, 416, c.ask("GET", path, "", "Range", "bytes=10-").StatusCode)
		parts := c.ask("GET", path, "", "Range", "bytes=0-0,9-9")
		require.Equal(c.t, 206, parts.StatusCode)
		require.True(c.t, strings.HasPrefix(parts.Header.Get("Content-Type"), "multipart/byteranges"))

		known := c.ask("GET", path, "", "If-None-Match", tag)
		require.Equal(c.t, 304, known.StatusCode)
		require.Equal(c.t, tag, known.Header.Get("ETag"))
		require.Empty(c.t, known.body)
		require.Equal(c.t, 304, c.ask("GET", path, "", "If-Modified-Since", modified).StatusCode)
		require.Equal(c.t, 200, c.ask("GET", path, "", "If-None-Match", `"other"`).StatusCode)
		require.Equal(c.t, 412, c.ask("GET", path, "", "If-Match", `"other"`).StatusCode)
	})
}

func TestUploadsAreRefusedWithAReason(t *testing.T) {
	onEachEngine(t, func(c *client) {
		require.Equal(c.t, 413, c.upload("large", strings.Repeat("x", testUploadSizeMax)).StatusCode)
		require.Equal(c.t, 400, c.ask("POST", "/files", "no form", "Content-Type", "text/plain").StatusCode)
		require.Equal(c.t, 422, c.upload(strings.Repeat("x", fileNameMax+1), "").StatusCode)
		require.Equal(c.t, 422, c.upload("..", "").StatusCode)

		body, contentType := form(c.t, "half", "0123456789")
		require.Equal(c.t, 400, c.ask("POST", "/files", body[:len(body)/2], "Content-Type", contentType).StatusCode)
		_, noFile, _ := strings.Cut(contentType, "boundary=")
		require.Equal(c.t, 400, c.ask("POST", "/files", "--"+noFile+"--\r\n", "Content-Type", contentType).StatusCode)
		require.JSONEq(c.t, `{"files":[]}`, c.ask("GET", "/files", "").body)
	})
}

func TestUploadsLeaveNothingBehind(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	for _, engine := range []string{engineKourier, engineNetHTTP} {
		c := start(t, program{engine: engine, grace: patience})
		require.Equal(t, 201, c.upload("a", "content").StatusCode)
		require.Equal(t, 413, c.upload("b", strings.Repeat("x", testUploadSizeMax)).StatusCode)
		c.stop()
		require.NoError(t, c.mustEnd())
		require.Empty(t, entries(t, temporary))
	}
}
