package kourier

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

// A client is a method, a version and what it says about the connection.
type client struct {
	method, version, connection string
}

func (c client) request() string {
	target := "/"
	if c.method == "CONNECT" {
		target = "example.org:80"
	}
	if c.connection == "" {
		return request(c.method, target, c.version)
	}
	return request(c.method, target, c.version, "Connection: "+c.connection)
}

func clients() (all []client) {
	for _, method := range []string{"GET", "HEAD", "POST", "CONNECT", "BREW"} {
		for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
			for _, connection := range []string{"", "close", "keep-alive"} {
				all = append(all, client{method, version, connection})
			}
		}
	}
	return all
}

// framingSizes are body sizes on both sides of every limit.
func framingSizes() []int {
	if poisoning { // the race detector is slow
		return []int{0, 1, directBodyMax + 1, streamThreshold + 1}
	}
	return []int{0, 1, directBodyMax, directBodyMax + 1, streamThreshold, streamThreshold + 1, 3*streamThreshold + 7}
}

// Every way to answer, for every client, status and size, is framed as
// RFC 9112 §6 demands: this is the reference.
func TestFraming(t *testing.T) {
	ways := map[string]func(res *Response, body []byte){
		"Send":   func(res *Response, body []byte) { res.Send("text/plain", body) },
		"Canned": nil,
		"Write":  func(res *Response, body []byte) { _, _ = res.Write(body) },
		"Writes": func(res *Response, body []byte) {
			for len(body) > 0 {
				n := min(len(body), 1000)
				_, _ = res.Write(body[:n])
				body = body[n:]
			}
		},
		"Declared": func(res *Response, body []byte) {
			_, _ = res.Set("Content-Length", strconv.Itoa(len(body))).WriteString(string(body))
		},
	}
	for way, answerWith := range ways {
		t.Run(way, func(t *testing.T) {
			for _, client := range clients() {
				for _, code := range []int{200, 201, 204, 205, 304, 404, 599} {
					for _, size := range framingSizes() {
						for _, closing := range []bool{false, true} {
							checkFraming(t, way, client, code, size, closing, answerWith)
						}
					}
				}
			}
		})
	}
}

func checkFraming(t *testing.T, way string, client client, code, size int, closing bool, answerWith func(*Response, []byte)) {
	what := fmt.Sprintf("%s %v %d size %d close %v", way, client, code, size, closing)
	body := sized(size)
	bodiless := code == 204 || code == 205 || code == 304
	core := newFakeCore(t)
	handler := func(_ *Request, res *Response) {
		res.Status(code)
		if closing {
			res.Close()
		}
		answerWith(res, body)
	}
	if answerWith == nil {
		content := body
		if bodiless {
			content = nil
		}
		canned := mustCan(code, nil, string(content))
		handler = func(_ *Request, res *Response) {
			if closing {
				res.Close()
			}
			res.Canned(canned)
		}
	}
	sent := core.answer(handler, arrival{7, client.request()})[7]
	head := headOf(sent)
	tunnel := client.method == "CONNECT" && code < 300
	streamed := strings.HasPrefix(way, "Write") && size > streamThreshold && !bodiless && !tunnel
	old := client.version == "HTTP/1.0"
	persists := client.connection == "keep-alive" || !old && client.connection == ""
	closes := closing || !persists || tunnel || streamed && old

	require.Equal(t, closes, strings.Contains(head, "\r\nConnection: close\r\n"), what)
	require.Equal(t, old && !closes, strings.Contains(head, "\r\nConnection: keep-alive\r\n"), what)
	require.LessOrEqual(t, strings.Count(head, "Connection:"), 1, what)
	require.Contains(t, head, "\r\n"+testDate, what)
	require.Equal(t, uint16(code), core.raws[0].AnswerCode, what)
	wantFlags := uint8(abi.AnswerDone)
	if closes {
		wantFlags |= abi.AnswerClose
	}
	require.Equal(t, wantFlags, core.raws[0].AnswerFlags, what)

	lengthLine := "\r\nContent-Length: " + strconv.Itoa(size) + "\r\n"
	switch {
	case code == 204, code == 304, tunnel:
		require.NotContains(t, head, "Content-Length", what)
		require.NotContains(t, head, "Transfer-Encoding", what)
	case code == 205:
		require.Contains(t, head, "\r\nContent-Length: 0\r\n", what)
	case streamed:
		require.NotContains(t, head, "Content-Length", what)
		require.Equal(t, !old, strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n"), what)
	default:
		require.Contains(t, head, lengthLine, what)
		require.NotContains(t, head, "Transfer-Encoding", what)
	}
	a := readAnswers(t, sent, client.method)[0]
	require.NoError(t, a.err, what)
	require.Equal(t, code, a.StatusCode, what)
	if bodiless || tunnel || client.method == "HEAD" {
		require.Empty(t, a.text, what)
		require.True(t, strings.HasSuffix(sent, "\r\n\r\n") && len(sent) == len(head)+2, what)
	} else {
		require.Equal(t, string(body), a.text, what)
	}
}

// The head of HEAD is that of GET.
func TestHeadIsAnsweredWithTheHeadOfGet(t *testing.T) {
	for name, handler := range map[string]FastHandler{
		"Send":     func(_ *Request, res *Response) { res.Send("text/plain", sized(100_000)) },
		"Write":    func(_ *Request, res *Response) { _, _ = res.WriteString("<html>") },
		"Stream":   func(_ *Request, res *Response) { _, _ = res.Write(sized(100_000)) },
		"Nothing":  func(_ *Request, res *Response) { res.Status(404) },
		"Pass":     func(_ *Request, res *Response) { res.Pass() },
		"Canned":   func(_ *Request, res *Response) { res.Canned(helloCanned) },
		"Declared": func(_ *Request, res *Response) { _, _ = res.Set("Content-Length", "6").WriteString("<html>") },
		"Set":      func(_ *Request, res *Response) { res.Set("ETag", `"a"`).Send("text/plain", []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			core := newFakeCore(t)
			sent := core.answer(handler, arrival{1, get("/")}, arrival{2, request("HEAD", "/", "HTTP/1.1")})
			require.Equal(t, headOf(sent[1])+"\r\n", sent[2])
		})
	}
}

func TestHeadMayDeclareASizeWithoutWriting(t *testing.T) {
	for _, handler := range []FastHandler{
		func(_ *Request, res *Response) { res.Set("Content-Length", "1234") },
		func(_ *Request, res *Response) { res.Set("Content-Length", "1234").Send("", nil) },
	} {
		a, _ := one(t, request("HEAD", "/", "HTTP/1.1"), handler)
		require.EqualValues(t, 1234, a.ContentLength)
	}
}

func TestWriteReturnsWhatItCouldNotDo(t *testing.T) {
	one(t, get("/"), func(_ *Request, res *Response) {
		n, err := res.Status(204).Write([]byte("abc"))
		require.Zero(t, n)
		require.ErrorIs(t, err, http.ErrBodyNotAllowed)
	})
	one(t, request("CONNECT", "a:1", "HTTP/1.1"), func(_ *Request, res *Response) {
		_, err := res.WriteString("abc")
		require.ErrorIs(t, err, http.ErrBodyNotAllowed)
	})
	one(t, request("HEAD", "/", "HTTP/1.1"), func(_ *Request, res *Response) {
		n, err := io.WriteString(res, "abc")
		require.Equal(t, 3, n)
		require.NoError(t, err)
	})
	one(t, get("/"), func(_ *Request, res *Response) {
		res.Send("", nil)
		_, err := res.WriteString("abc")
		require.ErrorIs(t, err, ErrRequestDone)
	})
}

func TestADeclaredLengthIsKept(t *testing.T) {
	for _, size := range []int{5, 100_000} {
		declared := strconv.Itoa(size)
		body := sized(size)

		tooMuch, core := one(t, get("/"), func(_ *Request, res *Response) {
			_, err := res.Set("Content-Length", declared).Write(body[:3])
			require.NoError(t, err)
			n, err := res.Write(append(body[3:], "and more"...))
			require.Equal(t, size-3, n)
			require.ErrorIs(t, err, http.ErrContentLength)
			n, err = res.WriteString("x")
			require.Zero(t, n)
			require.ErrorIs(t, err, http.ErrContentLength)
		})
		require.Equal(t, string(body), tooMuch.text)
		require.Equal(t, uint8(abi.AnswerDone), core.raws[0].AnswerFlags)

		core = newFakeCore(t)
		core.answer(func(_ *Request, res *Response) {
			_, _ = res.Set("Content-Length", declared).Write(body[:size-1])
		}, arrival{1, get("/")}, arrival{1, get("/")})
		require.Equal(t, uint8(abi.AnswerDone|abi.AnswerAbort), core.raws[0].AnswerFlags)
		require.Zero(t, core.raws[1].AnswerFlags)
	}
}

// A body that goes out in pieces with its length known is not chunked.
func TestADeclaredLengthStreamsToOldClientsWithoutClosing(t *testing.T) {
	body := sized(200_000)
	a, core := one(t, request("GET", "/", "HTTP/1.0", "Connection: keep-alive"), func(_ *Request, res *Response) {
		res.Set("Content-Length", "200000")
		for at := 0; at < len(body); at += 1000 {
			_, err := res.Write(body[at : at+1000])
			require.NoError(t, err)
		}
	})
	require.Equal(t, string(body), a.text)
	require.EqualValues(t, 200_000, a.ContentLength)
	require.Equal(t, uint8(abi.AnswerDone), core.raws[0].AnswerFlags)
}

func TestAContentLengthThatIsNoneDeclaresNothing(t *testing.T) {
	for _, value := range []string{"", "-1", "+3", "0x3", "3 3", "three", "9223372036854775808", "1"} {
		a, _ := one(t, get("/"), func(_ *Request, res *Response) {
			_, _ = res.WriteString("abc")
			res.Set("Content-Length", value)
		})
		require.EqualValues(t, 3, a.ContentLength, value)
		require.Equal(t, []string{"3"}, a.Header["Content-Length"])
	}
}

func TestSet(t *testing.T) {
	var core *fakeCore
	head := func(set func(res *Response)) string {
		core = newFakeCore(t)
		sent := core.answer(func(_ *Request, res *Response) {
			set(res)
			_, _ = res.WriteString("<html>")
		}, arrival{1, get("/")})
		require.Equal(t, "<html>", readAnswers(t, sent[1], "GET")[0].text)
		return headOf(sent[1])
	}
	fields := func(pairs ...string) string {
		return head(func(res *Response) {
			for i := 0; i < len(pairs); i += 2 {
				res.Set(pairs[i], pairs[i+1])
			}
		})
	}
	const plain = "HTTP/1.1 200 OK\r\n" + testDate + "Content-Type: text/html; charset=utf-8\r\nContent-Length: 6\r\n"
	with := func(lines string) string {
		return strings.Replace(plain, "Content-Length", lines+"Content-Length", 1)
	}
	require.Equal(t, plain, fields())

	t.Run("the last of a name counts", func(t *testing.T) {
		require.Equal(t, with("X-B: 2\r\nx-a: 3\r\n"), fields("X-A", "1", "X-B", "2", "x-a", "3"))
		require.Equal(t, with("X-AB: 1\r\nX-A: 2\r\n"), fields("X-AB", "1", "X-A", "2"))
	})
	t.Run("bytes that would break the head become spaces", func(t *testing.T) {
		require.Equal(t, with("X-A: b  Evil: c d\te\r\n"), fields("X-A", "b\r\nEvil: c\x00d\te"))
		require.Equal(t, with("X-A: a b c\r\n"), fields("X-A", "\r\n a\x7fb\x1fc \t\n"))
		require.Equal(t, with("X-A: \r\n"), fields("X-A", "\r\n"))
		require.Equal(t, with("X-A: \xff\x80\r\n"), fields("X-A", "\xff\x80"))
	})
	t.Run("names that are no tokens are skipped", func(t *testing.T) {
		require.Equal(t, plain, fields("", "1", "X A", "2", "X:", "3", "X\r\nEvil", "4", "\xc3\x9c", "5"))
	})
	t.Run("Content-Type", func(t *testing.T) {
		typed := func(line string) string {
			return strings.Replace(plain, "Content-Type: text/html; charset=utf-8\r\n", line, 1)
		}
		require.Equal(t, typed("content-type: a/b\r\n"), fields("content-type", "a/b"))
		require.Equal(t, typed(""), fields("Content-Type", "a/b", "content-type", ""))
		require.Equal(t, typed("Content-Encoding: gzip\r\n"), fields("Content-Encoding", "gzip"))
	})
	t.Run("Date", func(t *testing.T) {
		require.Equal(t, strings.Replace(with("date: x\r\n"), testDate, "", 1), fields("date", "x"))
		require.Equal(t, strings.Replace(plain, testDate, "", 1), fields("Date", "x", "DATE", ""))
	})
	t.Run("the framing is the library's", func(t *testing.T) {
		require.Equal(t, plain, fields("Transfer-Encoding", "chunked", "Connection", "keep-alive, upgrade", "Content-Length", "6"))
	})
	t.Run("Connection: close", func(t *testing.T) {
		for _, value := range []string{"close", "Close", "upgrade , CLOSE", ",close,"} {
			require.Equal(t, with("Connection: close\r\n"), fields("connection", value))
			require.Equal(t, uint8(abi.AnswerDone|abi.AnswerClose), core.raws[0].AnswerFlags)
		}
		require.Equal(t, plain, fields("Connection", "closed"))
	})
	t.Run("too late", func(t *testing.T) {
		sent := newFakeCore(t).answer(func(_ *Request, res *Response) {
			_, _ = res.Write(sized(100_000))
			res.Status(500).Set("X-A", "b").Send("a/b", []byte("end"))
			res.Canned(helloCanned)
		}, arrival{1, get("/")})
		a := readAnswers(t, sent[1], "GET")[0]
		require.Equal(t, 200, a.StatusCode)
		require.NotContains(t, a.Header, "X-A")
		require.Equal(t, string(sized(100_000))+"end", a.text)
	})
}

func TestAddKeepsEarlierFieldsOfTheName(t *testing.T) {
	a, _ := one(t, get("/"), func(_ *Request, res *Response) {
		res.Add("Set-Cookie", "a=1").Add("set-cookie", "b=2").Add("X", "1").Set("x", "2").Add("Bad Name", "x")
		res.Set("Content-Type", "text/html").Add("Content-Type", "text/plain").Add("Transfer-Encoding", "chunked")
		res.Send("", []byte("ok"))
	})
	require.Equal(t, []string{"a=1", "b=2"}, a.Header["Set-Cookie"])
	require.Equal(t, []string{"2"}, a.Header["X"])
	require.Equal(t, []string{"text/plain"}, a.Header["Content-Type"])
	require.Empty(t, a.TransferEncoding)
	require.Equal(t, "ok", a.text)

	a, _ = one(t, get("/"), func(_ *Request, res *Response) {
		res.Add("Set-Cookie", "a=1").Add("Set-Cookie", "b=2").Set("Set-Cookie", "c=3").Send("", nil)
	})
	require.Equal(t, []string{"c=3"}, a.Header["Set-Cookie"])
}

func TestSendReplacesAContentTypeThatWasSet(t *testing.T) {
	for given, want := range map[string]string{"a/b": "a/b", "": "c/d", "e\r\nf": "e  f"} {
		a, _ := one(t, get("/"), func(_ *Request, res *Response) { res.Set("content-type", "c/d").Send(given, []byte("x")) })
		require.Equal(t, []string{want}, a.Header["Content-Type"])
	}
	for given, want := range map[string][]string{"a/b": {"a/b"}, "": nil, "e\r\nf": {"e  f"}, strings.Repeat("x", 500): {strings.Repeat("x", 500)}} {
		a, _ := one(t, get("/"), func(_ *Request, res *Response) { res.Send(given, []byte("<html>")) })
		require.Equal(t, want, a.Header["Content-Type"], "none is guessed for Send")
	}
}

func TestSendAfterWriteIsTheLastWrite(t *testing.T) {
	for _, size := range []int{10, 100_000} {
		a, _ := one(t, get("/"), func(_ *Request, res *Response) {
			_, _ = res.Write(sized(size))
			res.Send("a/b", []byte("end"))
			res.Send("c/d", []byte("never"))
		})
		require.Equal(t, string(sized(size))+"end", a.text)
	}
}

func TestCannedReplacesWhatWasPrepared(t *testing.T) {
	a, _ := one(t, get("/"), func(_ *Request, res *Response) {
		_, _ = res.Status(500).Set("X-A", "b").WriteString("text")
		res.Canned(helloCanned)
		res.Canned(notFound)
	})
	require.Equal(t, 200, a.StatusCode)
	require.Equal(t, "Hello World!", a.text)
	require.NotContains(t, a.Header, "X-A")
}

func TestCloseAfterSendStillCloses(t *testing.T) {
	a, core := one(t, get("/"), func(_ *Request, res *Response) {
		res.Send("text/plain", []byte("x"))
		res.Close()
	})
	require.Equal(t, "x", a.text)
	require.Equal(t, uint8(abi.AnswerDone|abi.AnswerClose), core.raws[0].AnswerFlags)
}

func TestAHeadLargerThanOutIsSentAllTheSame(t *testing.T) {
	core := newFakeCore(t)
	core.load(1000, arrival{1, get("/a")}, arrival{1, get("/b")})
	sent := core.run(core.dispatcher(func(_ *Request, res *Response) {
		res.Set("X-A", string(sized(100_000))).Send("text/plain", []byte("x"))
	}))
	for _, a := range readAnswers(t, sent[1], "GET", "GET") {
		require.Equal(t, string(sized(100_000)), a.Header.Get("X-A"))
		require.Equal(t, "x", a.text)
	}
}

// The type is guessed from the first 512 bytes, however they are written.
func TestTheContentTypeIsGuessedAsNetHTTPDoes(t *testing.T) {
	for _, body := range []string{"<html>", "%PDF-1.5", "text", "\x00\x01", "\x89PNG\x0d\x0a\x1a\x0a"} {
		for _, more := range []int{0, 600, 100_000} {
			whole := body + strings.Repeat(" ", more)
			a, _ := one(t, get("/"), func(_ *Request, res *Response) {
				_, _ = res.WriteString(whole[:1])
				_, _ = res.WriteString(whole[1:])
			})
			require.Equal(t, http.DetectContentType([]byte(whole)), a.Header.Get("Content-Type"))
			require.Equal(t, whole, a.text)
		}
	}
}

// What one request has set is gone with it, whatever way it took.
func TestNothingIsLeftForTheNextRequest(t *testing.T) {
	dirty := []FastHandler{
		func(_ *Request, res *Response) { res.Status(404).Set("X-A", "b").Set("Content-Length", "9").Close() },
		func(_ *Request, res *Response) { _, _ = res.Write(sized(100_000)) },
		func(_ *Request, res *Response) { _, _ = res.Set("Date", "").WriteString("text") },
		func(_ *Request, res *Response) { res.Set("Content-Type", "").Pass() },
		func(_ *Request, res *Response) { _, _ = res.WriteString("text"); panic("out of flour") },
		func(_ *Request, res *Response) {
			_, _ = res.Set("X-A", string(sized(2*fieldsKeepMax))).WriteString("a")
		},
	}
	clean := []FastHandler{
		sayHello,
		func(_ *Request, res *Response) { _, _ = res.WriteString("text") },
		func(_ *Request, res *Response) { res.Set("X-B", "c").Send("text/plain", helloBody) },
		func(_ *Request, res *Response) { res.Canned(helloCanned) },
		func(*Request, *Response) {},
	}
	for i, before := range dirty {
		for j, after := range clean {
			want := newFakeCore(t).answer(after, arrival{2, get("/")})
			core := newFakeCore(t)
			got := core.answer(func(req *Request, res *Response) {
				if string(req.Path()) == "/dirty" {
					before(req, res)
					return
				}
				after(req, res)
			}, arrival{1, get("/dirty")}, arrival{2, get("/")})
			require.Equal(t, want[2], got[2], "%d then %d", i, j)
		}
	}
}

func TestStatusLines(t *testing.T) {
	for code := statusCodeMin; code <= statusCodeMax; code++ {
		text := http.StatusText(code)
		if text == "" {
			text = "status code " + strconv.Itoa(code)
		}
		require.Equal(t, fmt.Sprintf("HTTP/1.1 %d %s\r\n", code, text), string(appendStatusLine(nil, code)))
		fixed := head{code: code, connection: connectionKeepAlive, framing: framedByLength, size: 1<<63 - 1}
		require.Less(t, len(fixed.append(nil)), headFixedSize)
	}
}
