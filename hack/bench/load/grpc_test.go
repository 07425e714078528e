package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// serve answers calls over cleartext HTTP/2: a ModelInferResponse with the length of the message and `more` values.
func serve(t *testing.T, more int, status func(call int) int) string {
	t.Helper()
	var calls atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Trailer", "Grpc-Status")
		w.Header().Set("Content-Type", "application/grpc")
		code := status(int(calls.Add(1)))
		if code == 0 {
			raw := make([]byte, 4*(1+more))
			binary.LittleEndian.PutUint32(raw, math.Float32bits(float32(len(message))))
			output := protowire.AppendBytes(protowire.AppendTag(nil, fieldName, protowire.BytesType), []byte("y"))
			answer := protowire.AppendBytes(protowire.AppendTag(nil, fieldOutputs, protowire.BytesType), output)
			answer = protowire.AppendBytes(protowire.AppendTag(answer, fieldRaw, protowire.BytesType), raw)
			_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(answer))), answer...))
		}
		w.Header().Set("Grpc-Status", strconv.Itoa(code))
	})
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

func asked(size, more int) *Workload {
	work := &Workload{
		Protocol: "grpc", Path: "/inference.GRPCInferenceService/ModelInfer", Answer: "grpc", Bodies: 1,
		Outputs: []Output{{Name: "y", Elements: 1 + more}}, values: 1 + more,
		bodies: []body{{0, bytes.Repeat([]byte{1}, size)}}, expected: make([]float32, 1+more),
	}
	work.expected[0] = float32(size + grpcPrefixSize)
	return work
}

func outcome(t *testing.T, work *Workload, address string, count int) Result {
	t.Helper()
	job := Job{Address: address, Connections: 2, Count: count, Seconds: 20, Drain: 1, Arrivals: "poisson", CheckEvery: 1, Refusals: []int{8}}
	loop, err := newLoop(job, work)
	if err != nil {
		t.Fatal(err)
	}
	return loop.run()
}

func TestMessagesPastEveryWindowArriveWhole(t *testing.T) {
	// Net/http grants a megabyte a connection: requests need its updates, and answers of 4 MiB need ours.
	work := asked(3<<20, 1<<20)
	result := outcome(t, work, serve(t, 1<<20, func(int) int { return 0 }), 12)
	if result.Good != 12 || result.Checked != 12 || len(result.Errors) != 0 {
		t.Fatalf("%+v", result)
	}
}

func TestAStatusInTheTrailersIsARefusalOrAnError(t *testing.T) {
	codes := []int{0, 8, 13, 0}
	result := outcome(t, asked(8, 0), serve(t, 0, func(call int) int { return codes[(call-1)%4] }), 40)
	if result.Good != 20 || result.Refused != 10 || result.Errors["status 13"] != 10 {
		t.Fatalf("%+v", result)
	}
}
