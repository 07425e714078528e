package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Windows and frames that this side accepts. The stream's is sent in SETTINGS; the connection's is opened once and
// topped up after half of it has been used.
const (
	window       = 16 << 20
	firstWindow  = 65535
	frameHead    = 9
	maxFrameSize = 1 << 20
)

var errGoAway = errors.New("the server sent GOAWAY")

// grpcWire is a client's HTTP/2 connection with one unary call at a time.
//
// Framing and header compression are golang.org/x/net's; grpc-go isn't used, since its goroutines would cost more than
// the fastest of the servers measured.
type grpcWire struct {
	messages [][]byte
	head     []byte // the encoded request headers: nothing in them is put into the dynamic table
	source   bytes.Reader
	framer   *http2.Framer
	out      bytes.Buffer
	writer   *http2.Framer

	stream       uint32
	unsent       []byte // the rest of the message, for which there was no window
	streamWindow int
	connWindow   int
	firstStream  int // the peer's SETTINGS_INITIAL_WINDOW_SIZE
	peerFrame    int
	received     int
	data         []byte
	code         int
	message      string
	whole        answer
}

func grpcMessages(work *Workload) [][]byte {
	messages := make([][]byte, len(work.bodies))
	for i, one := range work.bodies {
		messages[i] = binary.BigEndian.AppendUint32([]byte{0}, uint32(len(one.data)))
		messages[i] = append(messages[i], one.data...)
	}
	return messages
}

func newGRPC(work *Workload, messages [][]byte, address string) *grpcWire {
	g := &grpcWire{messages: messages, stream: ^uint32(0), connWindow: firstWindow, firstStream: firstWindow, peerFrame: 16 << 10}
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	encoder.SetMaxDynamicTableSize(0)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", work.Path}, {":authority", address},
		{"te", "trailers"}, {"content-type", "application/grpc"}, {"user-agent", "tidegate-bench"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			panic(fmt.Sprintf("encoding a header to memory: %v", err))
		}
	}
	g.head = head.Bytes()
	g.framer = http2.NewFramer(io.Discard, &g.source)
	g.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	g.framer.SetMaxReadFrameSize(maxFrameSize)
	g.framer.SetReuseFrames()
	g.writer = http2.NewFramer(&g.out, nil)
	return g
}

// Writes go to memory, which can't fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (g *grpcWire) hello() []byte {
	g.out.Reset()
	g.out.WriteString(http2.ClientPreface)
	must(g.writer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: window},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: maxFrameSize},
	))
	must(g.writer.WriteWindowUpdate(0, window-firstWindow))
	return bytes.Clone(g.out.Bytes())
}

func (g *grpcWire) request(number int) []byte {
	g.stream += 2
	g.streamWindow, g.unsent = g.firstStream, g.messages[number]
	g.data, g.code, g.message = g.data[:0], -1, ""
	g.out.Reset()
	must(g.writer.WriteHeaders(http2.HeadersFrameParam{StreamID: g.stream, BlockFragment: g.head, EndHeaders: true}))
	g.send()
	return g.out.Bytes()
}

// send writes as much of the message as the windows allow.
func (g *grpcWire) send() {
	for len(g.unsent) > 0 {
		size := min(len(g.unsent), g.peerFrame, g.streamWindow, g.connWindow)
		if size <= 0 {
			return
		}
		must(g.writer.WriteData(g.stream, size == len(g.unsent), g.unsent[:size]))
		g.unsent = g.unsent[size:]
		g.streamWindow -= size
		g.connWindow -= size
	}
}

// receive reads whole frames until an answer is complete; a header block is only read once its last frame is there.
func (g *grpcWire) receive(data []byte) (int, *answer, []byte, error) {
	g.out.Reset()
	used := 0
	for {
		size := wholeFrames(data[used:])
		if size == 0 {
			return used, nil, g.out.Bytes(), nil
		}
		g.source.Reset(data[used : used+size])
		frame, err := g.framer.ReadFrame()
		if err != nil {
			return used, nil, nil, err
		}
		used += size
		done, err := g.take(frame)
		if err != nil {
			return used, nil, nil, err
		}
		if done {
			body := g.data
			if len(body) >= grpcPrefixSize {
				body = body[grpcPrefixSize:]
			}
			g.whole = answer{status: g.code, ok: g.code == 0, body: body}
			if g.code != 0 {
				g.whole.body = []byte(g.message)
			}
			return used, &g.whole, g.out.Bytes(), nil
		}
	}
}

// wholeFrames is the length of the first frame with its CONTINUATIONs, 0 if they aren't all there.
func wholeFrames(data []byte) int {
	used := 0
	for {
		rest := data[used:]
		if len(rest) < frameHead {
			return 0
		}
		size := frameHead + (int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2]))
		if len(rest) < size {
			return 0
		}
		used += size
		kind, flags := http2.FrameType(rest[3]), http2.Flags(rest[4])
		block := kind == http2.FrameHeaders || kind == http2.FrameContinuation
		if !block || flags.Has(http2.FlagHeadersEndHeaders) {
			return used
		}
	}
}

func (g *grpcWire) take(frame http2.Frame) (done bool, err error) {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		return false, g.settings(frame)
	case *http2.PingFrame:
		if !frame.IsAck() {
			must(g.writer.WritePing(true, frame.Data))
		}
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			g.connWindow += int(frame.Increment)
		} else if frame.StreamID == g.stream {
			g.streamWindow += int(frame.Increment)
		}
		g.send()
	case *http2.GoAwayFrame:
		return false, errGoAway
	case *http2.RSTStreamFrame:
		return false, fmt.Errorf("the server reset the stream: %v", frame.ErrCode)
	case *http2.DataFrame:
		if g.received += int(frame.Length); g.received >= window/2 {
			must(g.writer.WriteWindowUpdate(0, uint32(g.received)))
			g.received = 0
		}
		if frame.StreamID == g.stream {
			g.data = append(g.data, frame.Data()...)
			return frame.StreamEnded(), nil
		}
	case *http2.MetaHeadersFrame:
		if frame.StreamID == g.stream {
			return frame.StreamEnded(), g.headers(frame)
		}
	}
	return false, nil
}

func (g *grpcWire) headers(frame *http2.MetaHeadersFrame) error {
	for _, field := range frame.Fields {
		switch field.Name {
		case ":status":
			if field.Value != "200" {
				return fmt.Errorf("HTTP status %s", field.Value)
			}
		case "grpc-status":
			code, err := strconv.Atoi(field.Value)
			if err != nil {
				return err
			}
			g.code = code
		case "grpc-message":
			g.message = field.Value
		}
	}
	return nil
}

func (g *grpcWire) settings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	err := frame.ForeachSetting(func(setting http2.Setting) error {
		switch setting.ID {
		case http2.SettingInitialWindowSize:
			g.streamWindow += int(setting.Val) - g.firstStream
			g.firstStream = int(setting.Val)
		case http2.SettingMaxFrameSize:
			g.peerFrame = int(setting.Val)
		case http2.SettingHeaderTableSize:
			// The table isn't used, at whatever size.
		}
		return nil
	})
	must(g.writer.WriteSettingsAck())
	g.send()
	return err
}
