package record

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARunThatDoesNotCountIsToldOf(t *testing.T) {
	var real Machine
	good := Run{Load: LoadMemory, Connections: 5, Alive: 5, ServedPerQuarter: [4]int{5, 5, 5, 5}}
	require.Empty(t, real.Fault(good))
	failed, unserved, dead := good, good, good
	failed.Errors.Status = 3
	require.Contains(t, real.Fault(failed), "3 errors")
	unserved.ServedPerQuarter[2] = 4
	require.Contains(t, real.Fault(unserved), "4 of 5 connections were served in quarter 3")
	dead.Alive = 2
	require.Contains(t, real.Fault(dead), "2 of 5 connections were alive")
}

func TestAnEmulatedMachineMayBeSlowToServe(t *testing.T) {
	vm := Machine{Profile: ProfileVM}
	slow := Run{Load: LoadMemory, Connections: 5, Alive: 5, ServedPerQuarter: [4]int{1, 5, 5, 5}}
	require.Empty(t, vm.Fault(slow))
	slow.Alive = 4
	require.Contains(t, vm.Fault(slow), "4 of 5 connections were alive")
}
