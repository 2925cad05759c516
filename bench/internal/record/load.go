package record

import "fmt"

// Loads, as runs name them.
const (
	LoadMemory     = "memory"     // one request in flight on each connection, then idle
	LoadIdle       = "idle"       // one request on each connection, then idle
	LoadThroughput = "throughput" // wrk
	LoadOpen       = "open"       // a fixed rate of arrivals
	LoadAttack     = "attack"     // the same with slow heads and slow readers beside it
	LoadUpload     = "upload"
	LoadDownload   = "download"
	LoadPipelined  = "pipelined" // memory with many requests in flight on each connection
)

// ProfileVM is the profile of virtual machines whose processor may be emulated: of what is measured in them memory
// counts, and no figure that is a matter of speed.
const ProfileVM = "vm"

// Fault says what makes r, a run on m, one that does not count, or "".
func (m Machine) Fault(r Run) string {
	if total := r.Errors.Total(); total != 0 {
		return fmt.Sprintf("%d errors: %+v", total, r.Errors)
	}
	if a := r.Attack; a != nil {
		if total := a.Errors.Total(); total != 0 {
			return fmt.Sprintf("%d errors before the attack: %+v", total, a.Errors)
		}
		if wanted := a.SlowHeads + a.SlowReaders; a.Standing < wanted {
			return fmt.Sprintf("%d of %d attacking connections stood when the load began", a.Standing, wanted)
		}
	}
	if r.Load == LoadMemory && m.Profile != ProfileVM {
		for quarter, served := range r.ServedPerQuarter {
			if served != r.Connections {
				return fmt.Sprintf("%d of %d connections were served in quarter %d", served, r.Connections, quarter+1)
			}
		}
	}
	if r.Load != LoadThroughput && r.Alive != r.Connections {
		return fmt.Sprintf("%d of %d connections were alive at the end", r.Alive, r.Connections)
	}
	return ""
}
