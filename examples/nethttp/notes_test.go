package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (c *client) createNote(body string) answer {
	c.t.Helper()
	return c.ask("POST", "/notes", body, "Content-Type", "application/json; charset=utf-8")
}

func TestNotesAreCreatedListedAndDeleted(t *testing.T) {
	onEachEngine(t, func(c *client) {
		require.JSONEq(c.t, `{"notes":[]}`, c.ask("GET", "/notes", "").body)

		created := c.createNote(`{"title":"first","text":"of all"}`)
		require.Equal(c.t, 201, created.StatusCode)
		require.Equal(c.t, "/notes/1", created.Header.Get("Location"))
		var n note
		created.json(c.t, &n)
		require.Equal(c.t, draft{Title: "first", Text: "of all"}, n.draft)
		require.Equal(c.t, 201, c.createNote(`{"title":"second"}`).StatusCode)

		require.Equal(c.t, created.body, c.ask("GET", "/notes/1", "").body)
		require.EqualValues(c.t, len(created.body), c.ask("HEAD", "/notes/1", "").ContentLength)
		var all struct{ Notes []note }
		c.ask("GET", "/notes", "").json(c.t, &all)
		require.Len(c.t, all.Notes, 2)
		require.Equal(c.t, n, all.Notes[0])

		gone := c.ask("DELETE", "/notes/1", "")
		require.Equal(c.t, 204, gone.StatusCode)
		require.Empty(c.t, gone.body)
		for _, path := range []string{"/notes/1", "/notes/0", "/notes/-1", "/notes/first"} {
			require.Equal(c.t, 404, c.ask("GET", path, "").StatusCode, path)
			require.Equal(c.t, 404, c.ask("DELETE", path, "").StatusCode, path)
		}
		require.Equal(c.t, "/notes/3", c.createNote(`{"title":"third"}`).Header.Get("Location"))
	})
}

func TestNotesAreRefusedWithAReason(t *testing.T) {
	title := func(size int) string { return `{"title":"` + strings.Repeat("ä", size) + `"}` }
	onEachEngine(t, func(c *client) {
		for name, refused := range map[string]struct {
			body   string
			status int
		}{
			"no JSON":       {"title", 400},
			"half of it":    {`{"title":`, 400},
			"nothing":       {"", 400},
			"two values":    {`{"title":"a"}{"title":"b"}`, 400},
			"unknown field": {`{"title":"a","id":7}`, 400},
			"wrong type":    {`{"title":7}`, 400},
			"no title":      {`{"text":"a"}`, 422},
			"long title":    {title(titleMax + 1), 422},
			"long text":     {`{"title":"a","text":"` + strings.Repeat("x", textMax+1) + `"}`, 422},
			"large body":    {title(noteSizeMax), 413},
		} {
			a := c.createNote(refused.body)
			require.Equal(c.t, refused.status, a.StatusCode, name)
			var why struct{ Error string }
			require.NoError(c.t, json.Unmarshal([]byte(a.body), &why))
			require.NotEmpty(c.t, why.Error)
		}
		require.Equal(c.t, 415, c.ask("POST", "/notes", `{"title":"a"}`, "Content-Type", "text/plain").StatusCode)
		require.Equal(c.t, 415, c.ask("POST", "/notes", `{"title":"a"}`).StatusCode)
		require.Equal(c.t, 201, c.createNote(title(titleMax)).StatusCode)
	})
}
