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

func TestAnAttackCountsIfItStandsAndWhatItIsComparedWithIsWhole(t *testing.T) {
	var real Machine
	under := func(spoil func(*Attack)) Run {
		attack := Attack{SlowHeads: 3, SlowReaders: 2, Standing: 5, Closed: 4, StandingAtEnd: 1}
		spoil(&attack)
		return Run{Load: LoadAttack, Connections: 5, Alive: 5, Attack: &attack}
	}
	require.Empty(t, real.Fault(under(func(*Attack) {})), "a server may close slow clients")
	require.Contains(t, real.Fault(under(func(a *Attack) { a.Standing = 4 })), "4 of 5 attacking connections stood")
	require.Contains(t, real.Fault(under(func(a *Attack) { a.Errors.Closed = 2 })), "2 errors before the attack")
}

func TestAnEmulatedMachineMayBeSlowToServe(t *testing.T) {
	vm := Machine{Profile: ProfileVM}
	slow := Run{Load: LoadMemory, Connections: 5, Alive: 5, ServedPerQuarter: [4]int{1, 5, 5, 5}}
	require.Empty(t, vm.Fault(slow))
	slow.Alive = 4
	require.Contains(t, vm.Fault(slow), "4 of 5 connections were alive")
}
