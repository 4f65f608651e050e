// Go: the standard library's bufio.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

const letters = 26
const readerSize = 1 << 16

func makeMessage(index, length, letters int) []byte {
	message := make([]byte, length)
	for at := range message {
		message[at] = byte('a' + (index*5+at)%letters)
	}
	return message
}

func makeMessages(length, letters int) [][]byte {
	count := (1 << 20) / length
	if count < 1 {
		count = 1
	}
	messages := make([][]byte, count)
	for index := range messages {
		if index < letters {
			messages[index] = makeMessage(index, length, letters)
		} else {
			messages[index] = messages[index-letters]
		}
	}
	return messages
}

// tally proves which messages came: how many, how long, in which order.
type tally struct {
	count, bytes int
	checksum     uint32
}

func (t *tally) add(message []byte) {
	length := len(message)
	t.count++
	t.bytes += length
	t.checksum = t.checksum*31 + uint32(message[0]) + uint32(message[length-1])
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func dial(port int) net.Conn {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	check(err)
	return conn
}

type run func(port, count int) tally

// repeated gives the same chunks again and again, one a call.
type repeated struct {
	chunks [][]byte
	next   int
	left   int
	rest   []byte
}

func (r *repeated) Read(buffer []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.next == len(r.chunks) {
			r.next = 0
			r.left--
		}
		if r.left == 0 {
			return 0, io.EOF
		}
		r.rest = r.chunks[r.next]
		r.next++
	}
	n := copy(buffer, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// makeChunks gives a block of messages, cut into chunks.
func makeChunks(messages [][]byte, chunkLength int, header func([]byte) []byte, delimiter string) [][]byte {
	var block bytes.Buffer
	for _, message := range messages {
		block.Write(header(message))
		block.Write(message)
		block.WriteString(delimiter)
	}
	var chunks [][]byte
	for rest := block.Bytes(); len(rest) > 0; {
		n := chunkLength
		if n > len(rest) {
			n = len(rest)
		}
		chunks = append(chunks, rest[:n])
		rest = rest[n:]
	}
	return chunks
}

func inMemory(length, chunkLength, letters int, header func([]byte) []byte, delimiter string, split bufio.SplitFunc) run {
	messages := makeMessages(length, letters)
	chunks := makeChunks(messages, chunkLength, header, delimiter)
	return func(_, count int) tally {
		var t tally
		scanner := bufio.NewScanner(&repeated{chunks: chunks, left: count / len(messages)})
		scanner.Buffer(make([]byte, readerSize), 1<<30)
		scanner.Split(split)
		for scanner.Scan() {
			t.add(scanner.Bytes())
		}
		check(scanner.Err())
		return t
	}
}

// inMemoryLarge reads without a Scanner, which searches its whole buffer again
// after every read.
func inMemoryLarge(length, chunkLength int) run {
	messages := makeMessages(length, letters)
	chunks := makeChunks(messages, chunkLength, noHeader, "\n")
	return func(_, count int) tally {
		var t tally
		reader := bufio.NewReaderSize(&repeated{chunks: chunks, left: count / len(messages)}, readerSize)
		for {
			frame, err := reader.ReadBytes('\n')
			if err == io.EOF {
				return t
			}
			check(err)
			t.add(frame[:len(frame)-1])
		}
	}
}

func noHeader([]byte) []byte { return nil }

func lengthHeader(message []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(len(message)))
}

func splitAt(delimiter string) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if at := bytes.Index(data, []byte(delimiter)); at >= 0 {
			return at + len(delimiter), data[:at], nil
		}
		return 0, nil, nil
	}
}

func splitPrefixed(data []byte, atEOF bool) (int, []byte, error) {
	if len(data) < 4 {
		return 0, nil, nil
	}
	end := 4 + int(binary.BigEndian.Uint32(data))
	if len(data) < end {
		return 0, nil, nil
	}
	return end, data[4:end], nil
}

func receive(split bufio.SplitFunc) run {
	return func(port, _ int) tally {
		var t tally
		conn := dial(port)
		defer conn.Close()
		scanner := bufio.NewScanner(conn)
		scanner.Buffer(make([]byte, readerSize), readerSize)
		scanner.Split(split)
		for scanner.Scan() {
			t.add(scanner.Bytes())
		}
		check(scanner.Err())
		return t
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	writer := bufio.NewWriter(conn)
	for {
		frame, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		writer.Write(frame)
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return
		}
	}
}

// prepare gives a client's run, or the port of a server.
func prepare(operation string, length, chunkLength int) (run, int) {
	switch operation {
	case "receive":
		return receive(bufio.ScanLines), 0
	case "receive-prefixed":
		return receive(splitPrefixed), 0
	case "send":
		messages := makeMessages(length, letters)
		return func(port, count int) tally {
			conn := dial(port)
			defer conn.Close()
			writer := bufio.NewWriterSize(conn, readerSize)
			for sent := 0; sent < count; sent++ {
				writer.Write(messages[sent%len(messages)])
				writer.WriteByte('\n')
			}
			check(writer.Flush())
			return tally{}
		}, 0
	case "request":
		messages := makeMessages(length, letters)
		return func(port, count int) tally {
			var t tally
			conn := dial(port)
			defer conn.Close()
			reader := bufio.NewReader(conn)
			writer := bufio.NewWriter(conn)
			for t.count < count {
				writer.Write(messages[t.count%len(messages)])
				writer.WriteByte('\n')
				check(writer.Flush())
				frame, err := reader.ReadSlice('\n')
				check(err)
				t.add(frame[:len(frame)-1])
			}
			return t
		}, 0
	case "echo":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		go func() {
			for {
				conn, err := listener.Accept()
				check(err)
				go echo(conn)
			}
		}()
		return nil, listener.Addr().(*net.TCPAddr).Port
	case "decode-lines":
		return inMemory(length, chunkLength, letters, noHeader, "\n", bufio.ScanLines), 0
	case "decode-large":
		return inMemoryLarge(length, chunkLength), 0
	case "decode-crlf":
		return inMemory(length, chunkLength, letters, noHeader, "\r\n", bufio.ScanLines), 0
	case "decode-almost":
		return inMemory(length, chunkLength, 1, noHeader, "aab", splitAt("aab")), 0
	case "decode-prefixed":
		return inMemory(length, chunkLength, letters, lengthHeader, "", splitPrefixed), 0
	}
	panic("unknown operation: " + operation)
}

func main() {
	length, err := strconv.Atoi(os.Args[2])
	check(err)
	chunkLength, err := strconv.Atoi(os.Args[3])
	check(err)
	run, port := prepare(os.Args[1], length, chunkLength)
	fmt.Println(port)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var port, count int
		_, err := fmt.Sscan(lines.Text(), &port, &count)
		check(err)
		t := run(port, count)
		fmt.Println(t.count, t.bytes, t.checksum)
	}
}
