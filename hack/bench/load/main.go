// Command load sends requests to one server and prints what came back.
//
// It reads one job as JSON from standard input and prints one result as JSON. One thread runs one epoll loop; there is
// no goroutine a connection, so that what is measured is the server and not Go's scheduler. Pin it to a core of its own.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// Job is what to send, where, and how fast.
type Job struct {
	Workload    string  `json:"workload"`    // a folder: see workload.go
	Address     string  `json:"address"`     // host:port, IPv4; of several, with commas, each connection draws one
	Host        string  `json:"host"`        // what requests name, if it isn't the address
	Connections int     `json:"connections"` // closed loop: always in use; open loop: at most
	Seconds     float64 `json:"seconds"`     // no request is begun later
	Count       int     `json:"count"`       // or after so many; 0: no bound
	Rate        float64 `json:"rate"`        // requests a second of the open loop; 0: closed loop
	Arrivals    string  `json:"arrivals"`    // poisson or constant
	Seed        uint64  `json:"seed"`
	Drain       float64 `json:"drain_seconds"` // how long answers are awaited after the last request
	CheckEvery  int     `json:"check_every"`   // 1: every answer's values are compared
	Deadline    float64 `json:"deadline_seconds"`
	Refusals    []int   `json:"refusals"` // HTTP statuses, or gRPC codes, that mean "not now"
	Expiries    []int   `json:"expiries"` // or "let in, and not done in time"
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
}

func run() error {
	job := Job{Connections: 1, Seconds: 1, Drain: 10, Arrivals: "poisson", CheckEvery: 1, Seed: 1}
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return fmt.Errorf("the job on standard input: %w", err)
	}
	if err := job.check(); err != nil {
		return err
	}
	work, err := readWorkload(job.Workload)
	if err != nil {
		return err
	}
	// The loop allocates next to nothing; a collection in the middle would be counted as the server's latency.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(4 << 30)
	runtime.LockOSThread()
	loop, err := newLoop(job, work)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(loop.run())
}

func (job *Job) check() error {
	switch {
	case job.Connections < 1:
		return fmt.Errorf("connections is %d, at least 1 is needed", job.Connections)
	case job.Seconds <= 0 || job.Seconds > 3600:
		return fmt.Errorf("seconds is %g, it has to be in (0, 3600]", job.Seconds)
	case job.Rate < 0 || job.Rate > 1e6:
		return fmt.Errorf("rate is %g, it has to be in [0, 1,000,000]", job.Rate)
	case job.Arrivals != "poisson" && job.Arrivals != "constant":
		return fmt.Errorf("arrivals is %q, there are poisson and constant", job.Arrivals)
	case job.CheckEvery < 1:
		return fmt.Errorf("check_every is %d, at least 1 is needed", job.CheckEvery)
	}
	return nil
}
