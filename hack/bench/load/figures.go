package main

import (
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is a distribution in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// Result is what a job brought.
type Result struct {
	Sent         int64            `json:"sent"`
	Good         int64            `json:"good"`          // answers that are right
	GoodInTime   int64            `json:"good_inside"`   // of those, the ones within Seconds
	Timely       int64            `json:"timely"`        // good, and within the job's deadline (all if it has none)
	TimelyInside int64            `json:"timely_inside"` // of those, the ones within Seconds
	Refused      int64            `json:"refused"`
	Expired      int64            `json:"expired"`
	Checked      int64            `json:"checked"` // answers whose values were compared
	Unanswered   int64            `json:"unanswered"`
	Errors       map[string]int64 `json:"errors"`
	FirstError   string           `json:"first_error,omitempty"`
	Seconds      float64          `json:"seconds"` // in which requests were begun
	Rate         float64          `json:"rate"`    // GoodInTime a second
	Latency      Latency          `json:"latency_ms"`
	Refusal      Latency          `json:"refusal_ms"`
	Lateness     Latency          `json:"lateness_ms"` // of this program: a send noticed after its time
	OwnCPU       float64          `json:"own_cpu_seconds"`
	Connected    int64            `json:"connected"`
}

// figures collects a result. Histograms hold microseconds, three digits, up to ten minutes.
type figures struct {
	result                      Result
	latency, refusals, lateness *hdrhistogram.Histogram
}

func newFigures() *figures {
	histogram := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 3) }
	return &figures{Result{Errors: map[string]int64{}}, histogram(), histogram(), histogram()}
}

func record(histogram *hdrhistogram.Histogram, nanoseconds int64) {
	// Fails above the highest value alone, and no run is that long.
	_ = histogram.RecordValue(max(1, nanoseconds/1000))
}

// good counts an answer that is right: whether it came within Seconds, and within its deadline.
func (f *figures) good(inside, timely bool) {
	f.result.Good++
	if inside {
		f.result.GoodInTime++
	}
	if timely {
		f.result.Timely++
	}
	if inside && timely {
		f.result.TimelyInside++
	}
}

func (f *figures) failed(kind string, detail string) {
	f.result.Errors[kind]++
	if f.result.FirstError == "" {
		f.result.FirstError = kind + ": " + detail
	}
}

func summary(histogram *hdrhistogram.Histogram) Latency {
	at := func(percent float64) float64 { return float64(histogram.ValueAtQuantile(percent)) / 1000 }
	return Latency{
		Count: histogram.TotalCount(), Mean: histogram.Mean() / 1000,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(histogram.Max()) / 1000,
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
