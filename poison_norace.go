//go:build !race && !asan && !kourier_debug

package kourier

import "github.com/kourier-go/kourier/internal/abi"

const poisoning = false

func poison(*abi.Request) {}
