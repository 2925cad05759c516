//go:build linux

// Package csrc is the C++ core. It holds no Go code: it is a Go package so that
// the go command compiles the sources beside this file and notices when they
// change. kourier.h is the whole of what Go sees of it.
//
// With the build tag kourier_cmake the sources are left out and the static
// library is linked that CMake's preset "release" has built from them, with
// -march=native and link-time optimisation, which the go command does not allow.
package csrc

// #cgo CXXFLAGS: -O3 -std=c++20 -fno-exceptions -fno-rtti -fvisibility=hidden -pthread
// #cgo LDFLAGS: -pthread
// #cgo kourier_cmake LDFLAGS: ${SRCDIR}/../build/release/libkourier_core.a -lstdc++ -lm
import "C"

import _ "embed"

// The header is a part of this package's archive, so a change in it rebuilds
// the packages that import this one; and `go mod vendor` takes it along.
//
//go:embed kourier.h
var _ string
