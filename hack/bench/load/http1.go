package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// wire is the protocol's side of one connection.
type wire interface {
	// hello is what a fresh connection sends before any request.
	hello() []byte
	// request is the bytes of a request that may be sent at once; valid until the next call.
	request(number int) []byte
	// receive takes what has come so far: how much of it is used, an answer once it is whole, bytes to send back.
	receive(data []byte) (used int, whole *answer, reply []byte, err error)
}

var errUnframed = errors.New("an answer without Content-Length that isn't chunked")

// http1Requests are the requests of a workload as bytes, shared by all connections.
func http1Requests(work *Workload, address string) [][]byte {
	written := make([][]byte, len(work.bodies))
	for i, one := range work.bodies {
		request := fasthttp.AcquireRequest()
		request.Header.SetMethod("POST")
		request.SetRequestURI("http://" + address + work.Path)
		request.Header.SetNoDefaultContentType(true)
		for name, value := range work.Headers {
			request.Header.Set(name, value)
		}
		if one.jsonLength > 0 {
			request.Header.Set(jsonLengthHeader, strconv.Itoa(one.jsonLength))
		}
		request.SetBodyRaw(one.data)
		var buffer bytes.Buffer
		writer := bufio.NewWriter(&buffer)
		if err := errors.Join(request.Write(writer), writer.Flush()); err != nil {
			panic(fmt.Sprintf("writing a request to memory: %v", err))
		}
		written[i] = buffer.Bytes()
		fasthttp.ReleaseRequest(request)
	}
	return written
}

type http1 struct {
	requests [][]byte
	source   bytes.Reader
	reader   *bufio.Reader
	response fasthttp.Response
	whole    answer
}

func newHTTP1(requests [][]byte) *http1 {
	return &http1{requests: requests, reader: bufio.NewReaderSize(nil, 16<<10)}
}

func (h *http1) hello() []byte             { return nil }
func (h *http1) request(number int) []byte { return h.requests[number] }

func (h *http1) receive(data []byte) (int, *answer, []byte, error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil, nil, nil
	}
	head := end + 4
	h.source.Reset(data[:head])
	h.reader.Reset(&h.source)
	header := &h.response.Header
	if err := header.Read(h.reader); err != nil {
		return 0, nil, nil, err
	}
	status := header.StatusCode()
	length := header.ContentLength()
	if status == 100 {
		return head, nil, nil, nil
	}
	switch {
	case length >= 0:
		if len(data) < head+length {
			return 0, nil, nil, nil
		}
		h.whole = answer{status: status, body: data[head : head+length]}
		head += length
	case length == -1:
		used, whole, err := h.chunked(data)
		if !whole || err != nil {
			return 0, nil, nil, err
		}
		h.whole = answer{status: status, body: h.response.Body()}
		head = used
	default:
		return 0, nil, nil, errUnframed
	}
	h.whole.ok = status == 200
	h.whole.closes = header.ConnectionClose()
	h.whole.jsonLength, _ = strconv.Atoi(string(header.Peek(jsonLengthHeader)))
	return head, &h.whole, nil, nil
}

// chunked reads the whole response again: chunked answers are rare, and small where they occur.
func (h *http1) chunked(data []byte) (used int, whole bool, err error) {
	if !bytes.HasSuffix(data, []byte("\r\n0\r\n\r\n")) {
		return 0, false, nil
	}
	h.source.Reset(data)
	h.reader.Reset(&h.source)
	if err := h.response.Read(h.reader); err != nil {
		return 0, false, err
	}
	return len(data) - h.source.Len() - h.reader.Buffered(), true, nil
}
