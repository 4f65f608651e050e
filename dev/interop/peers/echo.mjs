// deno-lint-ignore-file no-console -- it tells the test by it
// Echoes messages, with node:net.
//
//   node echo.mjs listen FRAMING          prints its port, and serves until it is killed
//   node echo.mjs connect PORT FRAMING    makes two connections, one after the other
//
// At the message "bye" it ends its side, reads on to the end and prints how many
// messages came after it. At the end without one it sends "end" and closes.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";

/** Messages after their length in 4 bytes, the lowest first. */
async function* lengthPrefixed(socket) {
  let chunks = [];
  let buffered = 0;
  // Else the end of the loop would destroy the socket, and its other direction.
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    buffered += chunk.length;
    // Looks at the length alone, as joining a large message at each chunk is slow.
    if (chunks[0].length < 4) chunks = [Buffer.concat(chunks)];
    if (buffered < 4 || buffered < 4 + chunks[0].readUInt32LE()) continue;
    let bytes = Buffer.concat(chunks);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32LE()) {
      const end = 4 + bytes.readUInt32LE();
      yield bytes.subarray(4, end);
      bytes = bytes.subarray(end);
    }
    chunks = [bytes];
    buffered = bytes.length;
  }
  if (buffered > 0) throw new Error(`End with ${buffered} bytes too many`);
}

async function* lines(socket) {
  for await (const line of createInterface({ input: socket })) {
    yield Buffer.from(line);
  }
}

const framings = {
  readline: {
    read: lines,
    encode: (message) => [message, Buffer.from("\n")],
  },
  readUInt32LE: {
    read: lengthPrefixed,
    encode: (message) => {
      const field = Buffer.alloc(4);
      field.writeUInt32LE(message.length);
      return [field, message];
    },
  },
};

async function echo({ read, encode }, socket) {
  const closed = once(socket, "close");
  const write = async (message) => {
    for (const part of encode(message)) {
      if (!socket.write(part)) await once(socket, "drain");
    }
  };
  let countAfterBye;
  for await (const message of read(socket)) {
    if (countAfterBye !== undefined) countAfterBye++;
    else if (message.toString() === "bye") {
      countAfterBye = 0;
      socket.end();
    } else await write(message);
  }
  if (countAfterBye !== undefined) console.log(countAfterBye);
  else {
    await write(Buffer.from("end"));
    socket.end();
  }
  await closed;
}

const [action, ...rest] = process.argv.slice(2);
if (action === "listen") {
  const framing = framings[rest[0]];
  const server = createServer(
    { allowHalfOpen: true },
    (socket) => echo(framing, socket),
  );
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
} else {
  const [port, name] = rest;
  for (let i = 0; i < 2; i++) {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    await echo(framings[name], socket);
  }
}
