// Echoes messages, with net and bufio.
//
//	echo listen FRAMING          prints its port, and serves until it is killed
//	echo connect PORT FRAMING    makes two connections, one after the other
//
// At the message "bye" it ends its side, reads on to the end and prints how many
// messages came after it. At the end without one it sends "end" and closes.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

// The longest line that a Scanner takes; 64 KiB if not given.
const limit = 16 * 1024 * 1024

// A source reads the next message; at the end it says io.EOF.
type source func() ([]byte, error)

func lines(conn net.Conn) source {
	scanner := bufio.NewScanner(conn)
	scanner.Buffer(nil, limit)
	return func() ([]byte, error) {
		if scanner.Scan() {
			return scanner.Bytes(), nil
		}
		if scanner.Err() != nil {
			return nil, scanner.Err()
		}
		return nil, io.EOF
	}
}

func varints(conn net.Conn) source {
	reader := bufio.NewReader(conn)
	return func() ([]byte, error) {
		length, err := binary.ReadUvarint(reader)
		if err != nil {
			return nil, err
		}
		message := make([]byte, length)
		_, err = io.ReadFull(reader, message)
		return message, err
	}
}

func write(framing string, conn net.Conn, message []byte) error {
	var frame []byte
	if framing == "Scanner" {
		frame = append(append(frame, message...), '\n')
	} else {
		frame = append(binary.AppendUvarint(frame, uint64(len(message))), message...)
	}
	_, err := conn.Write(frame)
	return err
}

func echo(framing string, conn *net.TCPConn) error {
	defer conn.Close()
	next := lines(conn)
	if framing != "Scanner" {
		next = varints(conn)
	}
	for {
		message, err := next()
		if err == io.EOF {
			return write(framing, conn, []byte("end"))
		}
		if err != nil {
			return err
		}
		if string(message) == "bye" {
			break
		}
		if err := write(framing, conn, message); err != nil {
			return err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	for count := 0; ; count++ {
		if _, err := next(); err == io.EOF {
			fmt.Println(count)
			return nil
		} else if err != nil {
			return err
		}
	}
}

func listen(framing string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := echo(framing, conn.(*net.TCPConn)); err != nil {
			return err
		}
	}
}

func connect(port string, framing string) error {
	for i := 0; i < 2; i++ {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		if err := echo(framing, conn.(*net.TCPConn)); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	var err error
	if os.Args[1] == "listen" {
		err = listen(os.Args[2])
	} else {
		err = connect(os.Args[2], os.Args[3])
	}
	if err != nil {
		log.Fatal(err)
	}
}
