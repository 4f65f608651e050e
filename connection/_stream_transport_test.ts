import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { transportPair } from "../testing/transport_pair.ts";
import { overriding } from "./_testing.ts";
import { StreamTransport } from "./_stream_transport.ts";
import type { ByteStreams, Transport } from "./transport.ts";

function toBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Reads once, as text. */
async function read(
  transport: Transport,
  length = 100,
): Promise<string | null> {
  const buffer = new Uint8Array(length);
  const count = await transport.read(buffer);
  return count === null
    ? null
    : new TextDecoder().decode(buffer.subarray(0, count));
}

async function rejectsAs(
  name: string,
  call: () => Promise<unknown>,
): Promise<void> {
  const error = await assertRejects(call, Error);
  assertEquals(error.name, name);
}

/** A writable stream that settles a write only on request. */
function heldSink(): {
  writable: WritableStream<Uint8Array>;
  release: () => void;
  chunks: Uint8Array[];
} {
  const { promise, resolve } = Promise.withResolvers<void>();
  const chunks: Uint8Array[] = [];
  const writable = new WritableStream<Uint8Array>({
    async write(chunk) {
      await promise;
      chunks.push(chunk);
    },
  });
  return { writable, release: resolve, chunks };
}

/** Two transports over two byte streams within one process. */
function pair(): [StreamTransport, StreamTransport] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    new StreamTransport({ readable: back.readable, writable: there.writable }),
    new StreamTransport({ readable: there.readable, writable: back.writable }),
  ];
}

/** A transport with a given value to read, which need not be bytes. */
function reading(...chunks: unknown[]): StreamTransport {
  return new StreamTransport({
    // As from JavaScript.
    readable: ReadableStream.from(chunks) as ReadableStream<Uint8Array>,
    writable: new WritableStream(),
  });
}

/** A turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** The reasons of the promises that `action` leaves rejected and unhandled. */
async function unhandledRejectionsIn(
  action: () => Promise<unknown>,
): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const listener = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", listener);
  try {
    await action();
    for (let i = 0; i < 3; i++) await turn();
  } finally {
    globalThis.removeEventListener("unhandledrejection", listener);
  }
  return reasons;
}

Deno.test("StreamTransport reads a chunk in parts", async () => {
  const transport = reading(toBytes("hello"), toBytes("you"));
  assertEquals(await read(transport, 2), "he");
  assertEquals(await read(transport, 2), "ll");
  assertEquals(await read(transport, 2), "o");
  assertEquals(await read(transport), "you");
  assertEquals(await read(transport), null);
  assertEquals(await read(transport), null);
});

Deno.test("StreamTransport does not take an empty chunk for the end", async () => {
  const transport = reading(toBytes(""), toBytes(""), toBytes("a"));
  assertEquals(await read(transport), "a");
  assertEquals(await read(transport), null);
});

Deno.test("StreamTransport refuses a chunk that is not bytes", async () => {
  await assertRejects(
    () => read(reading("text")),
    TypeError,
    "each chunk must be a Uint8Array: current value is of type string",
  );
  await assertRejects(
    () => read(reading(new SharedArrayBuffer(1))),
    TypeError,
    "current value is [object SharedArrayBuffer]",
  );
  await assertRejects(
    () => read(reading(null)),
    TypeError,
    "current value is [object Null]",
  );
  await assertRejects(() => read(reading(new Uint16Array(1))), TypeError);
  const transferred = new Uint8Array(1);
  structuredClone(transferred, { transfer: [transferred.buffer] });
  await assertRejects(() => read(reading(transferred)), TypeError, "detached");
  assertEquals(
    await read(reading(new DataView(new ArrayBuffer(1)))).catch(
      (error) => error.name,
    ),
    "TypeError",
  );
});

Deno.test("StreamTransport settles a write when the sink has taken it", async () => {
  const { writable, release, chunks } = heldSink();
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    writable,
  });
  let written = 0;
  const writing = transport.write(toBytes("hello")).then((count) => {
    written = count;
  });
  await turn();
  assertEquals(written, 0);
  release();
  await writing;
  assertEquals([written, chunks.length], [5, 1]);
  transport.close();
});

Deno.test("StreamTransport copies what it writes", async () => {
  const chunks: Uint8Array[] = [];
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    writable: new WritableStream({ write: (chunk) => void chunks.push(chunk) }),
  });
  const bytes = toBytes("hello");
  await transport.write(bytes);
  bytes.fill(0);
  assertEquals(chunks, [toBytes("hello")]);
  transport.close();
});

Deno.test("StreamTransport.write() says what it wrote to a stream that transfers its chunks", async () => {
  const chunks: Uint8Array[] = [];
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    // As one that passes them on to a worker, or to a stream of bytes.
    writable: new WritableStream<Uint8Array<ArrayBuffer>>({
      write(chunk) {
        chunks.push(structuredClone(chunk, { transfer: [chunk.buffer] }));
      },
    }),
  });
  assertEquals(await transport.write(toBytes("hello")), 5);
  assertEquals(chunks, [toBytes("hello")]);
  transport.close();
});

Deno.test("StreamTransport writes large data in parts, and nothing for an empty write", async () => {
  const lengths: number[] = [];
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    writable: new WritableStream({
      write: (chunk) => void lengths.push(chunk.length),
    }),
  });
  assertEquals(await transport.write(new Uint8Array(100_000)), 65_536);
  assertEquals(await transport.write(new Uint8Array(0)), 0);
  assertEquals(lengths, [65_536]);
  transport.close();
});

Deno.test("StreamTransport reads after closeWrite() until the peer ends", async () => {
  const [near, far] = pair();
  await Promise.all([near.closeWrite(), near.closeWrite()]);
  await near.closeWrite();
  assertEquals(await read(far), null);
  const writing = far.write(toBytes("still"));
  assertEquals(await read(near), "still");
  assertEquals(await writing, 5);
  await far.closeWrite();
  assertEquals(await read(near), null);
  near.close();
  far.close();
});

Deno.test("StreamTransport.close() rejects pending calls and ends both streams", async () => {
  const { writable, release } = heldSink();
  const rejections = await unhandledRejectionsIn(async () => {
    const transport = new StreamTransport({
      readable: new ReadableStream(),
      writable,
    });
    const calls = [
      rejectsAs("Interrupted", () => read(transport)),
      rejectsAs("Interrupted", () => transport.write(toBytes("a"))),
      rejectsAs("Interrupted", () => transport.closeWrite()),
    ];
    transport.close();
    await Promise.all(calls); // the sink has not settled this write
    transport.close();
    await rejectsAs("BadResource", () => read(transport));
    await rejectsAs("BadResource", () => transport.write(toBytes("a")));
    await rejectsAs("BadResource", () => transport.closeWrite());
    release();
  });
  assertEquals(rejections, []);
});

Deno.test("StreamTransport.close() cancels its readable and aborts its writable", async () => {
  const ends: string[] = [];
  const transport = new StreamTransport({
    readable: new ReadableStream({ cancel: () => void ends.push("cancel") }),
    writable: new WritableStream({ abort: () => void ends.push("abort") }),
  });
  transport.close();
  await turn();
  assertEquals(ends, ["abort", "cancel"]);
});

Deno.test("StreamTransport.close() cancels its readable only once its writable was aborted", async () => {
  const ends: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const transport = new StreamTransport({
    readable: new ReadableStream({ cancel: () => void ends.push("cancel") }),
    writable: new WritableStream({ abort: () => promise }),
  });
  await transport.write(toBytes("a"));
  transport.close();
  await turn();
  assertEquals(ends, []);
  resolve();
  await turn();
  assertEquals(ends, ["cancel"]);
});

Deno.test("StreamTransport.close() cancels its readable if its writable is never aborted", async () => {
  const { promise: cancelled, resolve: cancel } = Promise.withResolvers<void>();
  const never = new Promise<void>(() => {});
  const transport = new StreamTransport({
    readable: new ReadableStream({ cancel }),
    writable: new WritableStream({ start: () => never }),
  });
  transport.close();
  const alive = setTimeout(() => {}, 60_000); // its own timer lets the process end
  await cancelled;
  clearTimeout(alive);
});

Deno.test("StreamTransport.close() cancels its readable during a write", async () => {
  const ends: string[] = [];
  const { writable, release } = heldSink();
  const transport = new StreamTransport({
    readable: new ReadableStream({ cancel: () => void ends.push("cancel") }),
    writable,
  });
  const writing = rejectsAs("Interrupted", () => transport.write(toBytes("a")));
  transport.close();
  await writing;
  assertEquals(ends, ["cancel"]);
  release();
});

Deno.test("StreamTransport.close() cancels its readable during the second of two writes", async () => {
  const ends: string[] = [];
  const releases: (() => void)[] = [];
  const transport = new StreamTransport({
    readable: new ReadableStream({ cancel: () => void ends.push("cancel") }),
    writable: new WritableStream({
      write: () => new Promise<void>((resolve) => releases.push(resolve)),
    }),
  });
  const first = transport.write(toBytes("a"));
  const second = rejectsAs("Interrupted", () => transport.write(toBytes("b")));
  await turn();
  releases[0]?.();
  await first;
  await turn();
  transport.close();
  await second;
  assertEquals(ends, ["cancel"]);
  releases[1]?.();
});

Deno.test("StreamTransport.close() does not abort a writable that closeWrite() has closed", async () => {
  const ends: string[] = [];
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    writable: new WritableStream({
      close: () => void ends.push("close"),
      abort: () => void ends.push("abort"),
    }),
  });
  await transport.closeWrite();
  transport.close();
  await Promise.resolve();
  assertEquals(ends, ["close"]);
});

Deno.test("StreamTransport.close() drops unread bytes", async () => {
  const [near, far] = pair();
  const writing = near.write(toBytes("hello"));
  assertEquals(await read(far, 1), "h");
  await writing;
  far.close();
  await rejectsAs("BadResource", () => read(far));
  // The other end gets an error, like after a reset.
  await rejectsAs("Interrupted", () => near.write(toBytes("a")));
  near.close();
});

Deno.test("StreamTransport passes on the errors of its streams", async () => {
  const broken = new Error("broken");
  const rejections = await unhandledRejectionsIn(async () => {
    const transport = new StreamTransport({
      readable: new ReadableStream({ pull: () => Promise.reject(broken) }),
      writable: new WritableStream({ write: () => Promise.reject(broken) }),
    });
    assertStrictEquals(await assertRejects(() => read(transport)), broken);
    assertStrictEquals(
      await assertRejects(() => transport.write(toBytes("a"))),
      broken,
    );
    await assertRejects(() => transport.closeWrite());
    transport.close();
  });
  assertEquals(rejections, []);
});

Deno.test("StreamTransport.closeWrite() takes a stream that was closed for it as closed", async () => {
  // As a WebSocketStream closes its writable at the peer's end.
  const writable = new WritableStream<Uint8Array>();
  const writer = writable.getWriter();
  await writer.close();
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    writable: Object.assign(writable, { getWriter: () => writer }),
  });
  await transport.closeWrite();
  await assertRejects(() => transport.write(toBytes("a")), TypeError);
  transport.close();
});

Deno.test("StreamTransport.closeWrite() says why the stream has failed", async () => {
  const reason = new Error("reset");
  const { readable, writable } = new TransformStream<Uint8Array>();
  const transport = new StreamTransport({
    readable: new ReadableStream(),
    writable,
  });
  await readable.cancel(reason);
  assertStrictEquals(
    await assertRejects(() => transport.closeWrite()),
    reason,
  );
  transport.close();
});

Deno.test("StreamTransport makes an error of a reason that is none", async () => {
  for (
    const [reason, message] of [
      [undefined, "The stream was ended without a reason"],
      [null, "The stream was ended: null"],
      ["resource closed", "The stream was ended: resource closed"],
    ]
  ) {
    const { readable, writable } = new TransformStream<Uint8Array>();
    const transport = new StreamTransport({
      readable: new ReadableStream({ start: (c) => c.error(reason) }),
      writable,
    });
    await readable.cancel(reason);
    for (
      const call of [
        () => read(transport),
        () => transport.write(toBytes("a")),
        () => transport.closeWrite(),
      ]
    ) {
      const error = await assertRejects(call, Error, message!);
      assertEquals(error.name, "ConnectionReset");
    }
    transport.close();
  }
});

Deno.test("StreamTransport.close() ignores errors of its streams", async () => {
  const rejections = await unhandledRejectionsIn(async () => {
    const transport = new StreamTransport({
      readable: new ReadableStream({
        cancel: () => Promise.reject(new Error("cancel")),
      }),
      writable: new WritableStream({
        abort: () => Promise.reject(new Error("abort")),
      }),
      close() {
        throw new Error("close");
      },
    });
    transport.close();
    await Promise.resolve();
  });
  assertEquals(rejections, []);
});

/** The streams of one end in memory, as a platform gives them for a socket. */
function streamsOf(
  transport: Transport,
): Pick<ByteStreams, "readable" | "writable"> {
  return {
    readable: new ReadableStream<Uint8Array<ArrayBuffer>>({
      type: "bytes",
      async pull(controller) {
        const buffer = new Uint8Array(1024);
        const length = await transport.read(buffer);
        if (length === null) controller.close();
        else controller.enqueue(buffer.subarray(0, length));
      },
      cancel: () => transport.close(),
    }),
    writable: new WritableStream({
      async write(chunk) {
        for (let sent = 0; sent < chunk.length;) {
          sent += await transport.write(chunk.subarray(sent));
        }
      },
      close: () => transport.closeWrite(),
      abort: () => transport.close(),
    }),
  };
}

/** Echoes all bytes, and ends after its peer. */
async function echo(transport: Transport): Promise<void> {
  const buffer = new Uint8Array(1024);
  for (;;) {
    const length = await transport.read(buffer);
    if (length === null) break;
    for (let sent = 0; sent < length;) {
      sent += await transport.write(buffer.subarray(sent, length));
    }
  }
  transport.close();
}

/** Tests streams of a given shape against an echo, from the first byte to the end. */
async function tryWithEcho(streams: ByteStreams): Promise<StreamTransport> {
  const transport = new StreamTransport(streams);
  assertEquals(await transport.write(toBytes("hello")), 5);
  assertEquals(await read(transport, 2), "he");
  assertEquals(await read(transport), "llo");
  await transport.closeWrite();
  assertEquals(await read(transport), null);
  transport.close();
  return transport;
}

/** A socket like that of Workers: https://sockets-api.proposal.wintertc.org */
class WinterSocket {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly opened: Promise<
    { remoteAddress?: string; localAddress?: string; alpn?: string | null }
  >;
  readonly closed: Promise<void>;
  readonly #end = Promise.withResolvers<void>();
  timesClosed = 0;

  constructor(transport: Transport, opened: WinterSocket["opened"]) {
    const { readable, writable } = streamsOf(transport);
    this.readable = readable;
    this.writable = writable;
    this.opened = opened;
    this.closed = this.#end.promise;
    opened.catch(this.#end.reject);
  }

  close(): Promise<void> {
    this.timesClosed++;
    this.#end.resolve();
    return this.closed;
  }
}

Deno.test("StreamTransport takes a socket of Workers with its addresses", async () => {
  const [near, far] = transportPair();
  const echoing = echo(far);
  const socket = new WinterSocket(
    near,
    Promise.resolve({
      remoteAddress: "example.com:80",
      localAddress: "[::1]:50001",
    }),
  );
  const transport = await tryWithEcho(socket);
  await echoing;
  await socket.closed;
  assertEquals(socket.timesClosed, 1);
  assertEquals(transport.remoteAddr, {
    transport: "tcp",
    hostname: "example.com",
    port: 80,
  });
  assertEquals(transport.localAddr, {
    transport: "tcp",
    hostname: "::1",
    port: 50001,
  });
});

Deno.test("StreamTransport gives the ALPN protocol of a Workers socket", async () => {
  for (const alpn of ["framed", null, undefined]) {
    const [near] = transportPair();
    const transport = new StreamTransport(
      new WinterSocket(
        near,
        Promise.resolve({ ...alpn !== undefined && { alpn } }),
      ),
    );
    await turn();
    assertEquals(transport.alpnProtocol, alpn);
    transport.close();
  }
});

Deno.test("StreamTransport takes a socket with promises from another realm", async () => {
  const [near] = transportPair();
  let isHandled = false;
  const socket = {
    ...streamsOf(near),
    opened: {
      then: (onOpened: (info: unknown) => void) =>
        onOpened({ remoteAddress: "192.0.2.1:80" }),
    },
    closed: {
      then(_: unknown, onRejected: unknown) {
        isHandled = typeof onRejected === "function";
      },
    },
  };
  const transport = new StreamTransport(socket);
  assertEquals(transport.remoteAddr, {
    transport: "tcp",
    hostname: "192.0.2.1",
    port: 80,
  });
  assertEquals(isHandled, true);
  transport.close();
  await turn();
});

Deno.test("StreamTransport rejects if a Workers socket does not open", async () => {
  const refused = new TypeError("refused");
  const rejections = await unhandledRejectionsIn(async () => {
    const [near] = transportPair();
    const socket = new WinterSocket(near, Promise.reject(refused));
    const transport = new StreamTransport(socket);
    await turn();
    assertEquals(transport.remoteAddr, undefined);
    transport.close();
    assertEquals(near.isClosed, true);
  });
  assertEquals(rejections, []);
});

Deno.test("StreamTransport rejects with the reason why a Workers socket did not open", async () => {
  const refused = new Error("proxy request failed");
  const cancelled = new Error("Stream was cancelled.");
  const [near] = transportPair();
  const socket = new WinterSocket(
    overriding(near, {
      read: () => Promise.reject(cancelled),
      write: () => Promise.reject(cancelled),
    }),
    Promise.reject(refused),
  );
  const transport = new StreamTransport(socket);
  const failures = await Promise.allSettled([
    transport.read(new Uint8Array(1)),
    transport.write(new Uint8Array(1)),
    transport.closeWrite(),
  ]);
  for (const failure of failures) {
    assert(failure.status === "rejected");
    assertStrictEquals(failure.reason, refused);
  }
  transport.close();
});

Deno.test("StreamTransport takes the result of a WebSocketStream's opened", async () => {
  const [near, far] = transportPair();
  const echoing = echo(far);
  const opened = { ...streamsOf(near), extensions: "", protocol: "" };
  const transport = await tryWithEcho(opened);
  await echoing;
  assertEquals(transport.remoteAddr, undefined);
});

Deno.test("StreamTransport takes the result of a Direct Socket's opened", async () => {
  const [near, far] = transportPair();
  const echoing = echo(far);
  const opened = {
    ...streamsOf(near),
    remoteAddress: "127.0.0.1",
    remotePort: 80,
    localAddress: "127.0.0.1",
    localPort: 50001,
  };
  const transport = await tryWithEcho(opened);
  await echoing;
  assertEquals(transport.remoteAddr, {
    transport: "tcp",
    hostname: "127.0.0.1",
    port: 80,
  });
  assertEquals(transport.localAddr, {
    transport: "tcp",
    hostname: "127.0.0.1",
    port: 50001,
  });
});

Deno.test("StreamTransport takes a WebTransport stream", async () => {
  const [near, far] = transportPair();
  const echoing = echo(far);
  await tryWithEcho(streamsOf(near));
  await echoing;
});

Deno.test("StreamTransport takes the streams of a child process", async () => {
  const child = new Deno.Command("cat", { stdin: "piped", stdout: "piped" })
    .spawn();
  await tryWithEcho({ readable: child.stdout, writable: child.stdin });
  assertEquals((await child.status).success, true);
});

Deno.test("StreamTransport.close() ends a child process while a write to it is pending", async () => {
  const child = new Deno.Command("cat", { stdin: "piped", stdout: "piped" })
    .spawn();
  const transport = new StreamTransport({
    readable: child.stdout,
    writable: child.stdin,
  });
  const progress = Promise.withResolvers<void>();
  const filling = rejectsAs("Interrupted", async () => {
    for (;;) {
      await transport.write(new Uint8Array(65_536));
      progress.resolve();
    }
  });
  await progress.promise; // the next write has started
  transport.close();
  await filling;
  await child.status;
});

Deno.test("StreamTransport takes ArrayBuffers, as Chrome's WebSocketStream gives them", async () => {
  const { runInNewContext } = await import("node:vm");
  const transport = reading(
    new ArrayBuffer(0),
    toBytes("hello").buffer,
    // One of another realm.
    runInNewContext("new Uint8Array([33]).buffer"),
  );
  assertEquals(await read(transport, 2), "he");
  assertEquals(await read(transport), "llo");
  assertEquals(await read(transport), "!");
  assertEquals(await read(transport), null);
});

Deno.test("StreamTransport takes chunks from another realm", async () => {
  const { runInNewContext } = await import("node:vm");
  const foreign: unknown = runInNewContext("Uint8Array.of(104, 105)");
  assertEquals(foreign instanceof Uint8Array, false);
  assertEquals(await read(reading(foreign)), "hi");
});

Deno.test("StreamTransport throws plain errors with a name", async () => {
  const [near] = pair();
  near.close();
  const error = await assertRejects(() => near.write(toBytes("a")));
  assertInstanceOf(error, Error);
  assertEquals(String(error), "BadResource: The transport is closed");
});
