package kourier

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheZeroConfigIsSafe(t *testing.T) {
	s, err := Config{}.resolve(serverLimits{})
	require.NoError(t, err)
	require.Equal(t, settings{
		workers:         uint32(ownProcs()),
		headTimeoutMS:   30_000,
		idleTimeoutMS:   120_000,
		lingerTimeoutMS: 500,
		rateGraceMS:     5_000,
		bodyRateMin:     240,
		drainRateMin:    240,
		headSizeMax:     32 << 10,
		targetSizeMax:   8 << 10,
		fieldCountMax:   128,
		bodySizeMax:     1 << 20,
		bodyCollectMax:  1 << 20,
		drainSizeMax:    256 << 10,
		handlerPool:     256 * uint32(ownProcs()),
	}, s)
}

func TestSettingsAreTakenOver(t *testing.T) {
	s, err := Config{
		Workers: 3, ReusePort: true, MaxConns: 1000, OnFull: PauseAccept, MaxTargetBytes: 100, MaxBodyBytes: 200,
		MinBodyRate: 300, MinDrainRate: 400, BodyBuffer: 700, MaxDrainBytes: 800, HandlerPool: 900,
	}.resolve(serverLimits{
		ReadTimeout: time.Second, ReadHeaderTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, IdleTimeout: 4 * time.Second,
		MaxHeaderBytes: 500, MaxHeaderValueCount: 600,
	})
	require.NoError(t, err)
	require.Equal(t, settings{
		workers: 3, reusePort: true, connsMax: 1000, onFull: 2, targetSizeMax: 100, bodySizeMax: 200, bodyRateMin: 300,
		drainRateMin: 400, requestTimeoutMS: 1000, headTimeoutMS: 2000, writeTimeoutMS: 3000, idleTimeoutMS: 4000,
		lingerTimeoutMS: 500, rateGraceMS: 5000, headSizeMax: 500, fieldCountMax: 600,
		bodyCollectMax: 200, drainSizeMax: 800, handlerPool: 900,
	}, s)
}

func TestBodiesForAHandlerAreNotBoundedButNotCollectedEither(t *testing.T) {
	s, err := Config{}.resolve(serverLimits{BodiesStream: true})
	require.NoError(t, err)
	require.Equal(t, uint64(math.MaxInt64), s.bodySizeMax)
	require.Equal(t, uint64(64<<10), s.bodyCollectMax)

	s, err = Config{MaxBodyBytes: 200, BodyBuffer: 700}.resolve(serverLimits{BodiesStream: true})
	require.NoError(t, err)
	require.Equal(t, uint64(200), s.bodySizeMax)
	require.Equal(t, uint64(200), s.bodyCollectMax)
}

func TestNegativeMeansOff(t *testing.T) {
	s, err := Config{MaxBodyBytes: -1, MinBodyRate: -1, MinDrainRate: -1, MaxDrainBytes: -1}.resolve(serverLimits{
		ReadTimeout: -1, ReadHeaderTimeout: -1, WriteTimeout: -1, IdleTimeout: -1,
	})
	require.NoError(t, err)
	require.Zero(t, s.bodyRateMin)
	require.Zero(t, s.drainRateMin)
	require.Zero(t, s.requestTimeoutMS)
	require.Zero(t, s.headTimeoutMS)
	require.Zero(t, s.writeTimeoutMS)
	require.Zero(t, s.idleTimeoutMS)
	require.Equal(t, uint64(math.MaxInt64), s.bodySizeMax)
	require.Zero(t, s.drainSizeMax)
}

// Zero would mean none to the core.
func TestShortTimeoutsAreRoundedUp(t *testing.T) {
	for timeout, want := range map[time.Duration]uint32{
		1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, math.MaxUint32 * time.Millisecond: math.MaxUint32,
	} {
		s, err := Config{}.resolve(serverLimits{IdleTimeout: timeout})
		require.NoError(t, err)
		require.Equal(t, want, s.idleTimeoutMS)
	}
}

func TestSettingsOutOfRangeAreNamed(t *testing.T) {
	for _, c := range []struct {
		config Config
		limits serverLimits
		field  string
		value  any
	}{
		{Config{Workers: -1}, serverLimits{}, "Config.Workers", -1},
		{Config{Workers: 1025}, serverLimits{}, "Config.Workers", 1025},
		{Config{MaxConns: -1}, serverLimits{}, "Config.MaxConns", -1},
		{Config{OnFull: 3}, serverLimits{}, "Config.OnFull", FullPolicy(3)},
		{Config{BodyBuffer: -1}, serverLimits{}, "Config.BodyBuffer", -1},
		{Config{HandlerPool: -1}, serverLimits{}, "Config.HandlerPool", -1},
		{Config{MaxTargetBytes: -1}, serverLimits{}, "Config.MaxTargetBytes", -1},
		{Config{}, serverLimits{MaxHeaderBytes: -1}, "Server.MaxHeaderBytes", -1},
		{Config{}, serverLimits{MaxHeaderBytes: headBytesMax + 1}, "Server.MaxHeaderBytes", headBytesMax + 1},
		{Config{}, serverLimits{MaxHeaderValueCount: 65536}, "Server.MaxHeaderValueCount", 65536},
		{Config{}, serverLimits{IdleTimeout: math.MaxInt64}, "Server.IdleTimeout", time.Duration(math.MaxInt64)},
		{Config{}, serverLimits{ReadTimeout: math.MaxUint32*time.Millisecond + 1}, "Server.ReadTimeout", math.MaxUint32*time.Millisecond + 1},
		{Config{}, serverLimits{WriteTimeout: math.MaxInt64}, "Server.WriteTimeout", time.Duration(math.MaxInt64)},
		{Config{}, serverLimits{ReadHeaderTimeout: math.MaxInt64}, "Server.ReadHeaderTimeout", time.Duration(math.MaxInt64)},
	} {
		s, err := c.config.resolve(c.limits)
		var mistake *ConfigError
		require.ErrorAs(t, err, &mistake)
		require.Equal(t, c.field, mistake.Field)
		require.Equal(t, c.value, mistake.Value)
		require.Equal(t, "kourier: "+c.field+": "+mistake.Why, err.Error())
		require.Zero(t, s)
	}
	_, err := Config{Workers: 5000}.resolve(serverLimits{})
	require.EqualError(t, err, "kourier: Config.Workers: 5000 is not between 0 (the default) and 1024")
}
