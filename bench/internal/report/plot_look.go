package report

import (
	"image/color"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A look is how a server appears in all plots.
type look map[string]style

type style struct {
	color  color.RGBA
	filled draw.GlyphDrawer // measured on the machine itself
	hollow draw.GlyphDrawer // in a virtual one
}

// palette are the colours of Okabe and Ito, which people with any kind of colour vision tell apart; but for yellow, too
// light for lines on white, and black, on which no range would be seen.
var palette = []color.RGBA{
	{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	{0xe6, 0x9f, 0x00, 0xff}, // orange
	{0x00, 0x72, 0xb2, 0xff}, // blue
	{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	{0x00, 0x9e, 0x73, 0xff}, // green
	{0xcc, 0x79, 0xa7, 0xff}, // purple
	{0x77, 0x77, 0x77, 0xff}, // grey
	{0x8c, 0x51, 0x0a, 0xff}, // brown
}

var glyphs = []style{
	{filled: draw.CircleGlyph{}, hollow: draw.RingGlyph{}},
	{filled: draw.BoxGlyph{}, hollow: draw.SquareGlyph{}},
	{filled: draw.PyramidGlyph{}, hollow: draw.TriangleGlyph{}},
}

func newLook(servers []string) look {
	look := look{}
	for i, server := range servers {
		s := glyphs[i%len(glyphs)]
		s.color = palette[i%len(palette)]
		look[server] = s
	}
	return look
}

func (s style) glyph(shape draw.GlyphDrawer) draw.GlyphStyle {
	return draw.GlyphStyle{Color: s.color, Radius: 3.5, Shape: shape}
}

func (s style) line(width vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: s.color, Width: width}
}

// Text and lines that belong to no server.
var (
	ink   = color.RGBA{0x33, 0x33, 0x33, 0xff}
	faint = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
)

func textStyle(size vg.Length) text.Style {
	return text.Style{
		Color:   ink,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler,
		YAlign:  draw.YCenter,
	}
}

// newPlot returns an empty plot in the style of this package.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font = textStyle(10).Font
	p.Title.TextStyle.Font.Weight = xfont.WeightBold
	p.Title.TextStyle.Color = ink
	p.Title.Padding = 6
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = ink, ink
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = textStyle(9).Font, ink
		axis.Tick.Label.Font, axis.Tick.Label.Color = textStyle(8).Font, ink
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = textStyle(8).Font, ink
	return p
}
