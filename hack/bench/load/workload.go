package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Output is one tensor of an answer: how many FP32 values it has, and how far they may be off.
type Output struct {
	Name     string  `json:"name"`
	Elements int     `json:"elements"`
	Absolute float64 `json:"absolute"`
	Relative float64 `json:"relative"`
}

// Workload is a folder with `workload.json` (this), `bodies.bin` and `expected.f32`.
//
// bodies.bin holds, for each request, two little-endian uint32 (the length of the JSON part of a binary V2 request, 0 for
// none; the length of the body) and the body. expected.f32 holds, for each request, the values of all outputs in order.
type Workload struct {
	Protocol string            `json:"protocol"` // http or grpc
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Answer   string            `json:"answer"` // one of the keys of `readers`
	Outputs  []Output          `json:"outputs"`
	Bodies   int               `json:"bodies"`

	bodies   []body
	expected []float32
	values   int
}

type body struct {
	jsonLength int
	data       []byte
}

const jsonLengthHeader = "Inference-Header-Content-Length"

func readWorkload(folder string) (*Workload, error) {
	work := &Workload{}
	text, err := os.ReadFile(filepath.Join(folder, "workload.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, work); err != nil {
		return nil, fmt.Errorf("%s/workload.json: %w", folder, err)
	}
	if _, known := readers[work.Answer]; !known {
		return nil, fmt.Errorf("%s/workload.json: unknown answer %q", folder, work.Answer)
	}
	for _, output := range work.Outputs {
		work.values += output.Elements
	}
	if err := work.readBodies(filepath.Join(folder, "bodies.bin")); err != nil {
		return nil, err
	}
	return work, work.readExpected(filepath.Join(folder, "expected.f32"))
}

func (work *Workload) readBodies(path string) error {
	rest, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for len(rest) >= 8 {
		jsonLength, length := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		if rest = rest[8:]; uint32(len(rest)) < length {
			return fmt.Errorf("%s ends inside a body", path)
		}
		work.bodies = append(work.bodies, body{int(jsonLength), rest[:length:length]})
		rest = rest[length:]
	}
	if len(rest) != 0 || len(work.bodies) != work.Bodies || work.Bodies == 0 {
		return fmt.Errorf("%s has %d bodies and %d bytes more, workload.json says %d", path, len(work.bodies), len(rest), work.Bodies)
	}
	return nil
}

func (work *Workload) readExpected(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) != 4*work.values*work.Bodies {
		return fmt.Errorf("%s has %d bytes, %d answers of %d values need %d", path, len(data), work.Bodies, work.values, 4*work.values*work.Bodies)
	}
	work.expected = make([]float32, len(data)/4)
	for i := range work.expected {
		work.expected[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}
