package kourier_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

func TestServerHasEveryFieldAndMethodOfNetHTTP(t *testing.T) {
	theirs, ours := reflect.TypeFor[http.Server](), reflect.TypeFor[kourier.Server]()
	for _, field := range reflect.VisibleFields(theirs) {
		if !field.IsExported() {
			continue
		}
		own, found := ours.FieldByName(field.Name)
		require.True(t, found, field.Name)
		require.Equal(t, field.Type, own.Type, field.Name)
	}
	theirs, ours = reflect.PointerTo(theirs), reflect.PointerTo(ours)
	for method := range theirs.Methods() {
		own, found := ours.MethodByName(method.Name)
		require.True(t, found, method.Name)
		require.Equal(t, signature(method), signature(own), method.Name)
	}
}

// signature returns the type of a method without its receiver.
func signature(m reflect.Method) string {
	var in, out []reflect.Type
	for parameter := range m.Type.Ins() {
		in = append(in, parameter)
	}
	for result := range m.Type.Outs() {
		out = append(out, result)
	}
	return reflect.FuncOf(in[1:], out, false).String()
}

func TestTheFunctionsAreThoseOfNetHTTP(t *testing.T) {
	require.IsType(t, http.ListenAndServe, kourier.ListenAndServe)
	require.IsType(t, http.ListenAndServeTLS, kourier.ListenAndServeTLS)
	require.IsType(t, http.Serve, kourier.Serve)
}
