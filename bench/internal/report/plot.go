package report

import (
	"bytes"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A plotFile is a plot that was written.
type plotFile struct{ name, title string }

// A panel is a part of a plot, over its whole width.
type panel struct {
	height vg.Length
	draw   func(draw.Canvas)
}

// plotWidth is what a page shows without scaling.
const plotWidth = 640

// writePlots writes the plots for which there are records, and returns them.
func writePlots(dir string, host, virtual measured) ([]plotFile, error) {
	look := newLook(servers(host, virtual))
	var files []plotFile
	for _, each := range []struct {
		plotFile
		panels []panel
	}{
		{plotFile{"memory.svg", "Memory over connections"}, memoryPanels(host, virtual, look)},
		{plotFile{"cpu.svg", "CPU a request"}, barPanels(host, cpu, look)},
		{plotFile{"throughput.svg", "Requests a second"}, barPanels(host, throughput, look)},
		{plotFile{"latency.svg", "Latency at a fixed rate"}, latencyPanels(host, look)},
	} {
		if len(each.panels) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, each.name), svg(each.panels), 0o644); err != nil {
			return nil, err
		}
		files = append(files, each.plotFile)
	}
	return files, nil
}

// svg draws panels under each other.
func svg(panels []panel) []byte {
	const margin = vg.Length(8)
	height := 2 * margin
	for _, each := range panels {
		height += each.height
	}
	canvas := vgsvg.New(plotWidth, height)
	whole := draw.New(canvas)
	whole.FillPolygon(color.White, rectangle(whole.Rectangle)) // pages may be dark
	top := height - margin
	for _, each := range panels {
		area := whole
		area.Rectangle = vg.Rectangle{Min: vg.Point{X: margin, Y: top - each.height}, Max: vg.Point{X: plotWidth - margin, Y: top}}
		each.draw(area)
		top -= each.height
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		panic(err) // a buffer takes everything
	}
	// The text stays text. Who lacks the font that it was measured with gets one of the same widths, if there is any.
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
}

func rectangle(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}
