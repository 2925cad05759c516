// Package nginx holds the configuration that nginx is benchmarked with.
package nginx

import (
	_ "embed"
	"strconv"
	"strings"
	"time"
)

//go:embed nginx.conf
var template string

// Config is what the configuration depends on.
type Config struct {
	Folder         string // where nginx writes, and where the file lies that is downloaded, called "download"
	Address        string // "host:port" to listen on
	Workers        int
	Connections    int // that are made; nginx reserves the memory for them when it starts
	RequestTimeout time.Duration
	IdleTimeout    time.Duration
}

// Text returns the configuration file. Workers get room for more connections than are made: with less than a sixteenth
// free, nginx closes those that are idle.
func (c Config) Text() string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return strings.NewReplacer(
		"@folder@", c.Folder,
		"@address@", c.Address,
		"@workers@", strconv.Itoa(c.Workers),
		"@connections@", strconv.Itoa(c.Connections+c.Connections/8+filesBeside),
		"@files@", strconv.Itoa(c.Connections+filesBeside),
		"@request@", seconds(c.RequestTimeout),
		"@idle@", seconds(c.IdleTimeout),
	).Replace(template)
}

// filesBeside are the files that a worker has open beside its connections, with those that are being downloaded.
const filesBeside = 256
