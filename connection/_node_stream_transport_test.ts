import { assertEquals, assertRejects } from "@std/assert";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { transportPair } from "../testing/transport_pair.ts";
import { NodeStreamTransport } from "./_node_stream_transport.ts";

const bytes = new Uint8Array([1]);

function transportOver(stream: Duplex): NodeStreamTransport {
  const [lower] = transportPair();
  return new NodeStreamTransport(stream, {
    lower,
    alpnProtocol: null,
    failureBelow: () => undefined,
    onTaken: () => {},
    untilTakenBelow: () => undefined,
  });
}

Deno.test("NodeStreamTransport rejects pending and later calls with the stream's error", async () => {
  // It never calls back for a write, and has nothing to read.
  const stream = new Duplex({ read() {}, write() {} });
  const transport = transportOver(stream);
  const reading = transport.read(new Uint8Array(8));
  const writing = transport.write(bytes);
  const closed = once(stream, "close");
  stream.destroy(new Error("gone"));
  await assertRejects(() => reading, Error, "gone");
  await assertRejects(() => writing, Error, "gone");
  await assertRejects(() => transport.write(bytes), Error, "gone");
  await assertRejects(() => transport.closeWrite(), Error, "gone");
  await closed.catch(() => {});
});

Deno.test("NodeStreamTransport rejects pending and later writes after the stream has sent this side's end", async () => {
  // It never calls back for a write.
  const stream = new Duplex({ read() {}, write() {} });
  const transport = transportOver(stream);
  const writing = transport.write(bytes);
  transport.noteSentEnd();
  for (const refused of [writing, transport.write(bytes)]) {
    const error = await assertRejects(() => refused, Error, "has ended");
    assertEquals(error.name, "BrokenPipe");
  }
  await transport.closeWrite();
  stream.destroy();
});

Deno.test("NodeStreamTransport takes a close after both ends for no reset", async () => {
  const stream = new Duplex({
    read() {
      this.push(null);
    },
  });
  const closed = once(stream, "close");
  const transport = transportOver(stream);
  assertEquals(await transport.read(new Uint8Array(1)), null);
  transport.noteSentEnd();
  stream.destroy();
  await closed;
  const error = await assertRejects(() => transport.write(bytes), Error);
  assertEquals(error.name, "BrokenPipe");
});

Deno.test("NodeStreamTransport rejects a write that the stream refuses", async () => {
  const stream = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done(new Error("refused"));
    },
  });
  const transport = transportOver(stream);
  await assertRejects(() => transport.write(bytes), Error, "refused");
});

Deno.test("NodeStreamTransport rejects with ConnectionReset if the stream is closed before its end", async () => {
  const stream = new Duplex({ read() {}, write() {} });
  const transport = transportOver(stream);
  stream.destroy();
  const error = await assertRejects(
    () => transport.read(new Uint8Array(8)),
    Error,
    "closed before its end",
  );
  assertEquals(error.name, "ConnectionReset");
});
