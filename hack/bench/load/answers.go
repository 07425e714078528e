package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/valyala/fastjson"
	"google.golang.org/protobuf/encoding/protowire"
)

// answer is one response; its slices are valid until the next read of the connection.
type answer struct {
	status     int // HTTP's status, or gRPC's code
	ok         bool
	jsonLength int // of a binary V2 answer
	body       []byte
	closes     bool
}

var errShort = errors.New("the answer has too few values")

// checker compares answers with what was expected.
type checker struct {
	work   *Workload
	read   func(*checker, *answer) error
	parser fastjson.Parser
	got    []float32 // the values of all outputs, in the workload's order
}

// readers fill `got`, each from one form of answer.
var readers = map[string]func(*checker, *answer) error{
	"json":   (*checker).readJSON,
	"array":  (*checker).readArray,
	"binary": (*checker).readBinary,
	"raw":    (*checker).readRaw,
	"grpc":   (*checker).readGRPC,
	"none":   nil,
}

func newChecker(work *Workload) *checker {
	return &checker{work: work, read: readers[work.Answer], got: make([]float32, work.values)}
}

// check is nil if every value of the answer is within the tolerance of its output.
func (c *checker) check(a *answer, number int) error {
	if c.read == nil {
		return nil
	}
	if err := c.read(c, a); err != nil {
		return err
	}
	at := 0
	expected := c.work.expected[number*c.work.values:]
	for _, output := range c.work.Outputs {
		for range output.Elements {
			want, got := float64(expected[at]), float64(c.got[at])
			// Written so that a NaN is wrong.
			if !(math.Abs(got-want) <= output.Absolute+output.Relative*math.Abs(want)) {
				return fmt.Errorf("body %d: %s: value %d is %g, expected %g", number, output.Name, at, c.got[at], expected[at])
			}
			at++
		}
	}
	return nil
}

// place is where an output's values go in `got`.
func (c *checker) place(name string) []float32 {
	at := 0
	for _, output := range c.work.Outputs {
		if output.Name == name {
			return c.got[at : at+output.Elements]
		}
		at += output.Elements
	}
	return nil
}

// readJSON reads {"outputs": [{"name": ..., "data": [...]}]}, flat or nested.
func (c *checker) readJSON(a *answer) error {
	parsed, err := c.parser.ParseBytes(a.body)
	if err != nil {
		return err
	}
	found := 0
	for _, output := range parsed.GetArray("outputs") {
		if place := c.place(string(output.GetStringBytes("name"))); place != nil {
			if rest, err := fill(place, output.Get("data")); err != nil || len(rest) > 0 {
				return errors.Join(errShort, err)
			}
			found++
		}
	}
	return c.complete(found)
}

// readArray reads a bare array, flat or nested, of all outputs after one another.
func (c *checker) readArray(a *answer) error {
	parsed, err := c.parser.ParseBytes(a.body)
	if err != nil {
		return err
	}
	if rest, err := fill(c.got, parsed); err != nil || len(rest) > 0 {
		return errors.Join(errShort, err)
	}
	return nil
}

func (c *checker) complete(found int) error {
	if found != len(c.work.Outputs) {
		return fmt.Errorf("the answer has %d of %d outputs", found, len(c.work.Outputs))
	}
	return nil
}

func fill(place []float32, value *fastjson.Value) ([]float32, error) {
	if value == nil {
		return place, errShort
	}
	if value.Type() != fastjson.TypeArray {
		number, err := value.Float64()
		if err != nil || len(place) == 0 {
			return place, errors.Join(errors.New("too many values, or not numbers"), err)
		}
		place[0] = float32(number)
		return place[1:], nil
	}
	items, err := value.Array()
	for _, item := range items {
		if place, err = fill(place, item); err != nil {
			return place, err
		}
	}
	return place, err
}

// readBinary reads V2's JSON, then one blob per output with a binary_data_size; outputs with data are read from it.
func (c *checker) readBinary(a *answer) error {
	if a.jsonLength <= 0 || a.jsonLength > len(a.body) {
		return fmt.Errorf("%s is %d, the body has %d bytes", jsonLengthHeader, a.jsonLength, len(a.body))
	}
	parsed, err := c.parser.ParseBytes(a.body[:a.jsonLength])
	if err != nil {
		return err
	}
	blob, found := a.body[a.jsonLength:], 0
	for _, output := range parsed.GetArray("outputs") {
		size := output.GetInt("parameters", "binary_data_size")
		if size > len(blob) {
			return errShort
		}
		if place := c.place(string(output.GetStringBytes("name"))); place != nil {
			if err := floats(place, blob[:size]); err != nil {
				return err
			}
			found++
		}
		blob = blob[size:]
	}
	return c.complete(found)
}

// readRaw reads all outputs after one another, little-endian.
func (c *checker) readRaw(a *answer) error { return floats(c.got, a.body) }

func floats(place []float32, blob []byte) error {
	if len(blob) != 4*len(place) {
		return fmt.Errorf("%d bytes for %d values", len(blob), len(place))
	}
	for i := range place {
		place[i] = math.Float32frombits(binary.LittleEndian.Uint32(blob[4*i:]))
	}
	return nil
}

// Field numbers of inference.ModelInferResponse.
const (
	fieldOutputs   = 5
	fieldRaw       = 6
	fieldName      = 1
	fieldContents  = 5
	fieldFloats    = 6
	grpcPrefixSize = 5
)

// readGRPC reads a ModelInferResponse, its contents raw or typed.
func (c *checker) readGRPC(a *answer) error {
	found, named := 0, [][]byte{}
	var raws [][]byte
	err := fields(a.body, func(number protowire.Number, value []byte) error {
		switch number {
		case fieldRaw:
			raws = append(raws, value)
		case fieldOutputs:
			var name, contents []byte
			err := fields(value, func(number protowire.Number, value []byte) error {
				switch number {
				case fieldName:
					name = value
				case fieldContents:
					contents = value
				}
				return nil
			})
			if err != nil {
				return err
			}
			named = append(named, name)
			if place := c.place(string(name)); place != nil && contents != nil {
				// MLServer sends empty contents beside the raw ones.
				return fields(contents, func(number protowire.Number, value []byte) error {
					if number == fieldFloats {
						found++
						return floats(place, value)
					}
					return nil
				})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, raw := range raws {
		if i < len(named) {
			if place := c.place(string(named[i])); place != nil {
				if err := floats(place, raw); err != nil {
					return err
				}
				found++
			}
		}
	}
	return c.complete(found)
}

// fields calls `each` with the length-delimited fields of a message.
func fields(message []byte, each func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(number, kind, message); size < 0 {
				return protowire.ParseError(size)
			}
			message = message[size:]
			continue
		}
		value, size := protowire.ConsumeBytes(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := each(number, value); err != nil {
			return err
		}
		message = message[size:]
	}
	return nil
}
