package report

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// decimals is how many digits behind the point a number of this size is worth.
func decimals(value float64) int {
	switch size := math.Abs(value); {
	case size >= 100 || size == 0:
		return 0
	case size >= 10:
		return 1
	case size >= 1:
		return 2
	default:
		return 3
	}
}

// number writes value with about three significant digits.
func number(value float64) string { return thousands(value, decimals(value)) }

// thousands writes value with commas, 12,345.6.
func thousands(value float64, decimals int) string {
	text := strconv.FormatFloat(math.Abs(value), 'f', decimals, 64)
	whole, fraction, hasFraction := strings.Cut(text, ".")
	var out strings.Builder
	if value < 0 && strings.Trim(text, "0.") != "" {
		out.WriteByte('-')
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(digit)
	}
	if hasFraction {
		out.WriteString("." + fraction)
	}
	return out.String()
}

// spreadText writes median, least and greatest, all with as many digits as the median is worth.
func spreadText(s record.Spread) string {
	digits := decimals(cmp.Or(s.Median, s.Max))
	return thousands(s.Median, digits) + " (" + thousands(s.Min, digits) + "–" + thousands(s.Max, digits) + ")"
}
