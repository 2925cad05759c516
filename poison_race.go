//go:build race || asan || kourier_debug

package kourier

import "github.com/kourier-go/kourier/internal/abi"

// poisoning says that views are overwritten when their handler has returned, so
// that code which kept one reads poisonByte instead of another client's bytes.
const poisoning = true

const poisonByte = 0xDB

// poison overwrites everything that a handler could see of an answered request, but
// for the table of fields, which later requests of the batch may share.
func poison(raw *abi.Request) {
	fields := raw.FieldSlice()
	for i := range fields {
		fill(raw.Bytes(fields[i].NameOffset, fields[i].NameSize))
		fill(raw.Bytes(fields[i].ValueOffset, fields[i].ValueSize))
	}
	fill(raw.Bytes(raw.MethodOffset, raw.MethodSize))
	fill(raw.Bytes(raw.TargetOffset, raw.TargetSize))
	fill(raw.Bytes(raw.PathOffset, raw.PathSize))
	fill(raw.Bytes(raw.QueryOffset, raw.QuerySize))
	fill(raw.Bytes(raw.HostOffset, raw.HostSize))
	fill(raw.BodyBytes())
}

func fill(view []byte) {
	for i := range view {
		view[i] = poisonByte
	}
}
