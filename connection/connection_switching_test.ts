import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { assembled } from "../framing/assembled.ts";
import { delimited } from "../framing/delimited.ts";
import { fixedLength } from "../framing/fixed_length.ts";
import type { Framing } from "../framing/framing.ts";
import { FramingError } from "../framing/framing_error.ts";
import { headed } from "../framing/headed.ts";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import { mapped } from "../framing/mapped.ts";
import { unframed } from "../framing/unframed.ts";
import type { PairedTransport } from "../testing/paired_transport.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { Connection } from "./connection.ts";
import {
  isPending,
  MORE_THAN_KERNEL_TAKES,
  MORE_THAN_MEMORY_TAKES,
  pair,
  Peer,
  sockets,
  toBytes,
  until,
} from "./_testing.ts";
import type { Transport } from "./transport.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** Runs `scenario` with `stream` received whole, cut at each byte, and byte by byte. */
async function inEveryCut<In, Out>(
  framing: Framing<In, Out>,
  stream: string,
  scenario: (
    connection: Connection<In, Out>,
    far: PairedTransport,
  ) => Promise<unknown>,
  expected: unknown,
): Promise<void> {
  const bytes = toBytes(stream);
  const everywhere = bytes.keys().toArray().slice(1);
  for (const cuts of [[], ...everywhere.map((place) => [place]), everywhere]) {
    for (const isWatched of [false, true]) {
      const [near, far] = transportPair();
      near.cutAt(cuts);
      await far.write(bytes);
      await far.closeWrite();
      await using connection = new Connection(near, { framing });
      if (isWatched) {
        connection.peerEnded.catch(() => {});
        await until(() => near.isReading || near.arrived === 0);
      }
      assertEquals(
        await scenario(connection, far),
        expected,
        `Cut at ${cuts}${isWatched ? ", read ahead" : ""}`,
      );
      far.close();
    }
  }
}

Deno.test("Connection.reframe() reads the following bytes in another framing, in every cut", async () => {
  await inEveryCut(
    lines(),
    "one\nSWITCH\n\0\0\0\x03a\nb\0\0\0\0BACK\nlast\n",
    async (connection) => {
      const first = await connection.receive();
      await connection.receive();
      const packets = connection.reframe(lengthPrefixed());
      const second = text(await packets.receive());
      const third = text(await packets.receive());
      const again = packets.reframe(lines());
      return [first, second, third, ...await Array.fromAsync(again)];
    },
    ["one", "a\nb", "", "BACK", "last"],
  );
});

Deno.test("Connection.reframe() changes neither side if the framing throws", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const refuse = () => {
    throw new Error("no coder");
  };
  const broken = lengthPrefixed();
  for (const method of ["decoder", "encoder"]) {
    assertThrows(
      () => connection.reframe({ ...broken, [method]: refuse }),
      Error,
      "no coder",
    );
    await connection.send("sent");
    assertEquals(await peer.read(5), "sent\n");
    await peer.write("received\n");
    assertEquals(await connection.receive(), "received");
  }
});

Deno.test("Connection.reframe() in a decoder gives buffered messages to pending receivers in the new framing", async () => {
  const waits: ((
    connection: Connection<string, string>,
  ) => Promise<unknown>)[] = [
    (connection) => connection.receive(),
    (connection) => connection.request("question"),
    (connection) => connection[Symbol.asyncIterator]().next(),
    (connection) => connection.batches()[Symbol.asyncIterator]().next(),
    (connection) => connection.readable.getReader().read(),
  ];
  for (const wait of waits) {
    for (const isThere of [true, false]) {
      await using ends = await pair<string, string>({
        framing: {
          decoder: () => ({
            decode(input) {
              if (input.length > 0) ends.connection.reframe(lines());
              return undefined; // the message is for the new framing
            },
          }),
          encoder: lines().encoder,
        },
      });
      const { connection, peer } = ends;
      if (isThere) {
        connection.peerEnded.catch(() => {}); // makes the connection read ahead
        await peer.write("a line\n");
        await until(() => connection.stats().bytesReceived > 0);
      }
      const received = wait(connection);
      if (!isThere) await peer.write("a line\n");
      await received;
      assertEquals(connection.stats().messagesReceived, 1);
    }
  }
});

type Switching = Connection<unknown, string>;

/** Ways to receive all messages. */
const TO_THE_END: readonly ((connection: Switching) => Promise<unknown[]>)[] = [
  (connection) => Array.fromAsync(connection),
  (connection) => Array.fromAsync(connection.readable),
  async (connection) => {
    const batches = await Array.fromAsync(
      connection.batches(),
      (batch) => [...batch],
    );
    return batches.flat();
  },
];

/** Receives all of `stream` in every cut and every way; `use` gets each connection first. */
async function inEveryCutAndWay(
  framing: Framing<unknown, string>,
  stream: string,
  use: (connection: Switching) => void,
  expected: unknown,
): Promise<void> {
  for (const receiveAll of TO_THE_END) {
    const scenario = (connection: Switching) => {
      use(connection);
      return receiveAll(connection);
    };
    await inEveryCut(framing, stream, scenario, expected);
  }
}

/**
 * Lines, until the function that decodes them meets "SWITCH"; then packets of two bytes.
 */
class LinesUntilSwitch implements Framing<unknown, string> {
  readonly #lines = lines();
  readonly #isDropped: boolean;
  /** The connection that is switched. */
  connection: Switching | undefined;

  constructor(isDropped: boolean) {
    this.#isDropped = isDropped;
  }

  decoder() {
    const decode = (line: string) => {
      if (line !== "SWITCH") return line;
      const { encoder } = this.#lines;
      this.connection?.reframe({ ...fixedLength(2), encoder });
      return this.#isDropped ? undefined : line;
    };
    return mapped(this.#lines, { decode, encode: String }).decoder();
  }

  encoder() {
    return this.#lines.encoder();
  }
}

Deno.test("Connection.reframe() in a function that decodes holds for the next message, in every cut", async () => {
  const rest = [toBytes("b\n"), toBytes("cd")];
  for (const isDropped of [false, true]) {
    const framing = new LinesUntilSwitch(isDropped);
    await inEveryCutAndWay(
      framing,
      "a\nSWITCH\nb\ncd",
      (connection) => framing.connection = connection,
      isDropped ? ["a", ...rest] : ["a", "SWITCH", ...rest],
    );
  }
});

Deno.test("Connection.reframe() in a function that reads a header holds after its message, in every cut", async () => {
  let connection: Switching | undefined;
  const { decoder } = headed(lines(), (header) => {
    if (header.startsWith("S")) connection?.reframe(lines());
    return fixedLength(Number(header.slice(1)));
  });
  const encoder = () => lines().encoder();
  await inEveryCutAndWay(
    { decoder, encoder },
    "A2\nxyS3\na\nbnext\n",
    (given) => connection = given,
    [
      { header: "A2", body: toBytes("xy") },
      { header: "S3", body: toBytes("a\nb") },
      "next",
    ],
  );
});

Deno.test("Connection.reframe() in a function that decodes keeps the other messages of the frame, in every cut", async () => {
  for (const isDropped of [false, true]) {
    let connection: Switching | undefined;
    const several = assembled(lines(), () =>
      function* (line) {
        yield* line.split(",");
      });
    const { decoder } = mapped(several, {
      decode(item) {
        if (item !== "S") return item;
        connection?.reframe({ ...fixedLength(2), encoder });
        return isDropped ? undefined : item;
      },
      encode: String,
    });
    const encoder = () => lines().encoder();
    await inEveryCutAndWay(
      { decoder, encoder },
      "a\nS,b,x\ncd",
      (given) => connection = given,
      ["a", ...isDropped ? [] : ["S"], "b", "x", toBytes("cd")],
    );
  }
});

Deno.test("Connection.reframe() in a function that then throws does not hide the error", async () => {
  for (const receiveAll of TO_THE_END) {
    const [near, far] = transportPair();
    const { encoder } = lines();
    const { decoder } = mapped(lines(), {
      decode(line): unknown {
        if (line !== "S") return line;
        connection.reframe(lines());
        throw new TypeError("A mistake");
      },
      encode: String,
    });
    await using connection: Switching = new Connection(near, {
      framing: { decoder, encoder },
    });
    await far.write(toBytes("a\nS\nb\n"));
    await assertRejects(() => receiveAll(connection), TypeError, "A mistake");
    far.close();
  }
});

Deno.test("Connection.reframe() in a decoder that takes no bytes leaves them to the next framing, in every cut", async () => {
  let connection: Connection<unknown, string> | undefined;
  const sniffing: Framing<unknown, string> = {
    decoder: () => ({
      maxFrameLength: 1, // it looks at one byte
      decode(input) {
        if (input.length > 0) connection?.reframe(lines());
        return undefined;
      },
    }),
    encoder: () => lines().encoder(),
  };
  await inEveryCut(
    sniffing,
    "ab\ncd",
    (given) => Array.fromAsync(connection = given),
    ["ab", "cd"],
  );
});

Deno.test("Connection.reframe() in a function that drops its message keeps those after it, although the peer has ended", async () => {
  const framing = new LinesUntilSwitch(true);
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  framing.connection = connection;
  const body = connection.receiveStream(1).getReader();
  const receiving: Promise<unknown> = connection.receive();
  const ended = connection.peerEnded; // makes the connection read ahead
  await peer.write("xSWITCH\nab");
  await peer.conn.closeWrite();
  await ended;
  await body.read();
  assertEquals(await receiving, toBytes("ab"));
});

Deno.test("Connection.reframe() switches within a loop over the messages", async () => {
  await inEveryCut(lines(), "a\n\0\x01b\0\x01c", async (connection) => {
    const received: unknown[] = [];
    for await (const message of connection) {
      received.push(message);
      connection.reframe(lengthPrefixed({ fieldSize: 2 }));
    }
    return received;
  }, ["a", new Uint8Array([0x62]), new Uint8Array([0x63])]);
});

Deno.test("Connection.reframe() gives buffered messages to pending receivers in the new framing", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const waiting = [connection.receive(), connection.receive()];
  await peer.write("abcdef");
  await until(() => connection.stats().bytesReceived === 6);
  connection.reframe(fixedLength(3));
  const received: unknown[] = await Promise.all(waiting);
  assertEquals(received, [toBytes("abc"), toBytes("def")]);
});

Deno.test("Connection.reframe() sends in the new framing, and changes no other connection", async () => {
  const framing = lines();
  const [near, far] = transportPair();
  const [otherNear, otherFar] = transportPair();
  await using connection = new Connection(near, { framing });
  await using other = new Connection(otherNear, { framing });
  connection.send("a");
  connection.reframe(lengthPrefixed({ fieldSize: 1 })).send("b");
  other.send("c");
  await Promise.all([connection.closeWrite(), other.closeWrite()]);
  const room = new Uint8Array(10);
  const length = await far.read(room) ?? 0;
  assertEquals(text(room.subarray(0, length)), "a\n\x01b");
  assertEquals(await otherFar.read(room), 2);
  far.close();
  otherFar.close();
  assertThrows(
    () => connection.reframe({} as never),
    TypeError,
    "Cannot change framing",
  );
});

Deno.test("Connection names the method that a framing for one message lacks, and stays open", async () => {
  const [near, far] = transportPair();
  await using connection = new Connection(near, { framing: lines() });
  for (const wrong of [{}, lines, null]) {
    const options = { framing: wrong as never };
    for (
      const asked of [
        () => connection.receive(options),
        () => connection.expect(options),
        () => connection.request("a", options),
      ]
    ) {
      await assertRejects(asked, TypeError, "must have the method decoder");
    }
    await assertRejects(
      () => connection.send("a", options),
      TypeError,
      "must have the method encoder",
    );
  }
  await far.write(toBytes("b\n"));
  assertEquals(await connection.request("a"), "b");
  assertEquals(connection.stats().messagesSent, 1);
  far.close();
});

Deno.test("Connection.receive() takes one message in another framing, in every cut", async () => {
  await inEveryCut(
    lines(),
    "4\na\nb\n0\n3\nxyzend\n",
    async (connection) => {
      const bodies: string[] = [];
      for (let i = 0; i < 3; i++) {
        const length = Number(await connection.receive());
        const framing = fixedLength(length);
        bodies.push(text(await connection.receive({ framing })));
      }
      return [
        ...bodies,
        await connection.receive(),
        await connection.receive(),
      ];
    },
    ["a\nb\n", "", "xyz", "end", undefined],
  );
});

Deno.test("Connection.receive() serves receivers with different framings in order", async () => {
  await inEveryCut(lines(), "line\nabcd\0\x02hirest\n", async (connection) => {
    const received = await Promise.all([
      connection.receive(),
      connection.receive({ framing: fixedLength(3) }),
      connection.receive({ framing: delimited("\0") }),
      connection.receive({ framing: lengthPrefixed({ fieldSize: 1 }) }),
      connection.receive(),
      connection.receive(),
    ]);
    return received.map((each) =>
      each instanceof Uint8Array ? text(each) : each
    );
  }, ["line", "abc", "d", "hi", "rest", undefined]);
});

Deno.test("Connection.receive() in another framing leaves untaken bytes in the buffer when it is aborted", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const receiving = connection.receive({
    framing: fixedLength(8),
    signal: controller.signal,
  });
  await peer.write("one\n");
  await until(() => connection.stats().bytesReceived === 4);
  controller.abort();
  await assertRejects(() => receiving, DOMException);
  assertEquals(await connection.receive(), "one");
});

Deno.test("Connection.receive() in another framing ends the connection if it is aborted inside a message", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const { signal } = controller;
  const framing = headed(fixedLength(1), ([length = 0]) => length);
  const first = connection.receive({ framing, signal });
  const second = connection.receive();
  await peer.write(new Uint8Array([5, 0x31, 0x0a]));
  await until(() => connection.stats().bytesReceived === 3);
  controller.abort(new Error("Enough"));
  await assertRejects(() => first, Error, "Enough");
  const error = await assertRejects(() => second, DOMException, "was aborted");
  assertEquals(error.name, "AbortError");
  assertEquals(error.cause, signal.reason);
  await assertRejects(() => connection.closed, DOMException, "was aborted");
});

Deno.test("Connection.receive() in another framing ends the connection if the framing aborts it inside a message", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  connection.peerEnded.catch(() => {}); // makes the connection read ahead
  await peer.write(new Uint8Array([5, 0x31, 0x0a]));
  await until(() => connection.stats().bytesReceived === 3);
  const controller = new AbortController();
  const framing = headed(fixedLength(1), ([length = 0]) => {
    controller.abort(new Error("Enough"));
    return length;
  });
  await assertRejects(
    () => connection.receive({ framing, signal: controller.signal }),
    Error,
    "Enough",
  );
  await assertRejects(() => connection.receive(), DOMException, "was aborted");
});

Deno.test("Connection.reframe() and detach() throw while a decoder still holds a message of its last frame", async () => {
  const framing = assembled(lines(), () =>
    function* (line) {
      yield* line.split(" ");
    });
  for (const refused of ["reframe", "detach"] as const) {
    const [near, far] = transportPair();
    await using connection = new Connection(near, { framing });
    await far.write(toBytes("one two\n\0\0\0\x01x"));
    assertEquals(await connection.receive(), "one");
    const expected = "a part of a message";
    if (refused === "detach") {
      await assertRejects(() => connection.detach(), DOMException, expected);
    } else {
      const change = () => connection.reframe(lengthPrefixed());
      assertThrows(change, DOMException, expected);
    }
    assertEquals(await connection.receive(), "two");
    const packets = connection.reframe(lengthPrefixed());
    assertEquals(text(await packets.receive()), "x");
    far.close();
  }
});

Deno.test("Connection delivers a partly decoded message whole before another framing starts", async () => {
  const framing = headed(fixedLength(1), ([length = 0]) => length);
  await using ends = await pair({ framing });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const receiving = connection.receive({ signal: controller.signal });
  const waiting = connection.receive({ framing: lines() });
  await peer.write(new Uint8Array([3, 0x31]));
  await until(() => connection.stats().bytesReceived === 2);
  controller.abort();
  await assertRejects(() => receiving, DOMException);

  const within = "taken a part of a message";
  await assertRejects(() => waiting, DOMException, within);
  assertThrows(() => connection.reframe(lines()), DOMException, within);
  await assertRejects(
    () => connection.receive({ framing: lines() }),
    DOMException,
    within,
  );
  await assertRejects(
    () => Array.fromAsync(connection.receiveStream(2)),
    DOMException,
    within,
  );
  await assertRejects(() => connection.detach(), DOMException, within);

  await peer.write("23line\n");
  assertEquals((await connection.receive())?.body, toBytes("123"));
  assertEquals(await connection.receive({ framing: lines() }), "line");
});

Deno.test("Connection.receive() in another framing lets the next receiver take the buffered bytes when it is aborted", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const { signal } = controller;
  const first = connection.receive({ framing: fixedLength(8), signal });
  const second = connection.receive();
  await peer.write("one\n");
  await until(() => connection.stats().bytesReceived === 4);
  controller.abort();
  await assertRejects(() => first, DOMException);
  assertEquals(await second, "one");
});

Deno.test("Connection.request() that is aborted leaves no part of its answer to the next receiver", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const { signal } = controller;
  const first = connection.request("1", { framing: fixedLength(8), signal });
  const second = connection.request("2");
  await peer.write("one\n");
  await until(() => connection.stats().bytesReceived === 4);
  controller.abort(new Error("Enough"));
  await assertRejects(() => first, Error, "Enough");
  await assertRejects(() => second, DOMException, "a request was aborted");
});

Deno.test("Connection.receive() in another framing lets the next receiver continue if the framing aborts it", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const { signal } = controller;
  const decoder = { decode: () => controller.abort() };
  const first = connection.receive({
    framing: { decoder: () => decoder },
    signal,
  });
  await assertRejects(() => first, DOMException);
  const again = new AbortController();
  const waiting = connection.receive({
    framing: {
      decoder: () => ({
        decode: ({ length }) => length > 0 ? again.abort() : undefined,
      }),
    },
    signal: again.signal,
  });
  const second = connection.receive();
  await peer.write("one\n");
  await assertRejects(() => waiting, DOMException);
  assertEquals(await second, "one");
});

Deno.test("Connection gives no part of one framing's unfinished message to another framing at the end", async () => {
  const reason = new Error("No patience");
  for (
    const end of [
      (connection: Connection<string, string>) => connection.closeRead(),
      (connection: Connection<string, string>) => connection.close(),
      (connection: Connection<string, string>) =>
        connection.request("x", { signal: AbortSignal.timeout(1) })
          .catch(() => {}),
    ]
  ) {
    await using ends = await pair({ framing: lines() });
    const { connection, peer } = ends;
    const body = connection.receive({ framing: fixedLength(8) });
    const line = connection.receive();
    const outcomes = Promise.allSettled([body, line]);
    await peer.write("one\n");
    await until(() => connection.stats().bytesReceived === 4);
    end(connection);
    for (const outcome of await outcomes) {
      if (outcome.status === "fulfilled") {
        assertEquals(outcome.value, undefined);
      }
    }
    connection.abort(reason);
  }
});

Deno.test("Connection ends with the error of another framing, after the messages before it", async () => {
  await inEveryCut(lines(), "one\nmuch too long", async (connection) => {
    const first = await connection.receive();
    const framing = lines({ maxLength: 4 });
    const error = await assertRejects(
      () => connection.receive({ framing }),
      FramingError,
    );
    await assertRejects(() => connection.closed, FramingError);
    return [first, error.code, error.offset];
  }, ["one", "too-long", 4]);
});

Deno.test("Connection rejects receivers that start inside a truncated message with its error, in every cut", async () => {
  const framing = headed(fixedLength(1), ([length = 0]) => length);
  await inEveryCut(framing, "\x03ab", async (connection) => {
    const ends = await Promise.allSettled([
      connection.receive(),
      connection.receive({ framing: lines() }),
      Array.fromAsync(connection.receiveStream(2)),
    ]);
    ends.push(
      ...await Promise.allSettled([connection.receive({ framing: lines() })]),
    );
    return ends.map((end) => end.status === "rejected" && end.reason.code);
  }, Array(4).fill("truncated"));
});

Deno.test("Connection.send() writes one message in another framing", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  connection.send("5");
  connection.send(new Uint8Array(5).fill(0x61), { framing: unframed() });
  connection.send("end");
  await connection.closeWrite();
  assertEquals(await peer.readToEnd(), "5\naaaaaend\n");
});

Deno.test("Connection.request() receives an answer in another framing", async () => {
  await inEveryCut(lines(), "abcd\n", async (connection) => {
    const answer = connection.request("4 bytes", { framing: fixedLength(4) });
    const line = connection.request("a line");
    await connection.flush(); // the answers arrive before the requests
    return [text(await answer), await line];
  }, ["abcd", ""]);
});

Deno.test("Connection.receiveStream() gives bytes in pieces, and the message after them, in every cut", async () => {
  await inEveryCut(
    lines(),
    "10\n01234\n6789after\n",
    async (connection) => {
      const length = Number(await connection.receive());
      const pieces = connection.receiveStream(length);
      const after = connection.receive();
      const none = connection.receiveStream(0);
      const body = await new Response(pieces).text();
      assertEquals(await Array.fromAsync(none), []);
      return [body, await after, await connection.receive()];
    },
    ["01234\n6789", "after", undefined],
  );
});

Deno.test("Connection.receiveStream() accepts a length only as a number", async () => {
  const [near, far] = transportPair();
  await using connection = new Connection(near, { framing: lines() });
  await far.write(new TextEncoder().encode("hello\n"));
  const body = connection.receiveStream("05");
  assertEquals(await new Response(body).text(), "hello");
  const wrongs = [
    "",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1e1",
    "0x1",
    "1, 1",
    "9".repeat(16),
  ];
  for (const wrong of wrongs) {
    assertThrows(() => connection.receiveStream(wrong), FramingError, "match");
  }
  assertEquals(await connection.receive(), "");
});

Deno.test("Connection.receiveStream() skips the rest when it is cancelled, in every cut", async () => {
  await inEveryCut(lines(), "0123456789after\n", async (connection) => {
    const reader = connection.receiveStream(10).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return [(value?.length ?? 0) > 0, await connection.receive()];
  }, [true, "after"]);
});

Deno.test("Connection.receiveStream() fails if the peer ends too early, and drops the rest", async () => {
  await inEveryCut(lines(), "01234", async (connection) => {
    const pieces = connection.receiveStream(10);
    const error = await assertRejects(() => new Response(pieces).text(), Error);
    return error.name;
  }, "UnexpectedEof");
  const [near] = transportPair();
  await using connection = new Connection(near, { framing: lines() });
  for (const length of [-1, 1.5, NaN, Infinity]) {
    assertThrows(() => connection.receiveStream(length), RangeError, "length");
  }
});

Deno.test("Connection.receiveStream() that is not read does not keep later receivers pending when the connection ends", async () => {
  const reason = new Error("Enough");
  const ways: [
    end: (
      ends: { connection: Connection<string, string>; peer: Peer<Transport> },
    ) => unknown,
    error: string,
  ][] = [
    [({ connection }) => connection.abort(reason), "Enough"],
    [({ peer }) => peer.conn.close(), "messages have ended"],
  ];
  for (const [end, expected] of ways) {
    await using ends = await pair({ framing: lines() });
    const { connection, peer } = ends;
    const body = connection.receiveStream(100);
    const receiving = connection.expect();
    connection.closed.catch(() => {}); // makes the connection watch for the end
    end({ connection, peer });
    await assertRejects(() => receiving, Error, expected);
    await assertRejects(() => body.getReader().read(), Error, expected);
  }
});

Deno.test("Connection.receiveStream() that is not read keeps its bytes, and later receivers settle", async () => {
  const endings: ((connection: Connection<string, string>) => unknown)[] = [
    async (connection) => {
      await connection.close();
      await connection.closed;
    },
    (connection) => connection.closeRead(),
  ];
  for (const end of endings) {
    for (const length of [100, 5]) { // more than has arrived, and exactly as much
      const [near, far] = transportPair();
      await using connection = new Connection(near, { framing: lines() });
      const { closed } = connection; // makes the connection read ahead
      await far.write(toBytes("hello"));
      await until(() => connection.stats().bytesReceived === 5);
      const body = connection.receiveStream(length).getReader();
      const [answer, received] = [
        connection.request("?"),
        connection.receive(),
      ];
      end(connection);
      if (length === 5) {
        assert(await isPending(received)); // the bytes read may have a further message
        assertEquals(text((await body.read()).value), "hello");
      }
      await assertRejects(() => answer, Error, "messages have ended");
      assertEquals(await received, undefined);
      if (length > 5) {
        assertEquals(text((await body.read()).value), "hello");
        await assertRejects(
          () => body.read(),
          Error,
          "95 bytes before its end",
        );
      }
      far.close();
      await connection.close();
      await closed;
    }
  }
});

Deno.test("Connection.close() during a receiveStream() drains the rest, even if everything that has arrived was read", async () => {
  const ways: ((
    connection: Connection<string, string>,
    body: ReadableStreamDefaultReader<Uint8Array>,
  ) => unknown)[] = [
    () => {},
    (_connection, body) => body.cancel(),
    (connection) => connection.closeRead(),
  ];
  /** A connection that has read 5 bytes of a body and has answered. */
  const open = async (length: number) => {
    const [near, far] = transportPair();
    const connection = new Connection(near, { framing: lines() });
    const body = connection.receiveStream(length).getReader();
    await far.write(toBytes("01234"));
    assertEquals(text((await body.read()).value), "01234");
    await connection.send("refused");
    await connection.flush();
    return { connection, body, far };
  };
  for (const way of ways) {
    const { connection, body, far } = await open(10);
    await way(connection, body);
    const closing = connection.close();
    const whole = await open(5);
    await whole.connection.close(); // takes as long as finding no unread bytes
    await far.write(toBytes("56789"));
    await far.write(toBytes("and more")); // fails if the end was closed
    await far.closeWrite();
    await closing;
    far.close();
    whole.far.close();
  }
});

Deno.test("Connection.abort() rejects receivers that wait for an unread body, also after reading has stopped", async () => {
  const ways: ((connection: Connection<string, string>) => unknown)[] = [
    async (connection) => {
      await connection.close();
      await connection.closed;
    },
    (connection) => connection.closeRead(),
  ];
  for (const stop of ways) {
    const [near, far] = transportPair();
    const connection = new Connection(near, { framing: lines() });
    const { closed } = connection;
    await far.write(toBytes("hello"));
    await until(() => connection.stats().bytesReceived === 5);
    const body = connection.receiveStream(5).getReader();
    const received = connection.receive();
    await stop(connection);
    connection.abort();
    assertEquals(await received, undefined);
    await assertRejects(() => body.read(), Error, "5 bytes before its end");
    await closed.catch(() => {});
    far.close();
  }
});

Deno.test("Connection.receiveStream() keeps the bytes of an abandoned read for the next one", async () => {
  const endings: [
    end: (peer: Peer<Transport>, connection: Connection) => unknown,
    error: string,
  ][] = [
    [(peer) => peer.conn.closeWrite(), "95 bytes before its end"],
    [(_, connection) => connection.closeRead(), "95 bytes before its end"],
    [(_, connection) => connection.close(), "95 bytes before its end"],
  ];
  for (const [end, expected] of endings) {
    for (const isLocked of [true, false]) {
      await using ends = await pair({ framing: unframed() });
      const { connection, peer } = ends;
      const body = connection.receiveStream(100);
      await abandonRead(body);
      const locking = isLocked ? body.getReader() : undefined;
      await peer.write("hello");
      await until(() => connection.stats().bytesReceived === 5);
      connection.peerEnded.catch(() => {}); // makes the connection watch for the end
      await end(peer, connection);
      await connection.peerEnded;
      const reader = locking ?? body.getReader();
      assertEquals(text((await reader.read()).value), "hello");
      await assertRejects(() => reader.read(), Error, expected);
    }
  }
});

/** Asks for a piece, and gives up the lock before it has come. */
async function abandonRead(stream: ReadableStream): Promise<void> {
  const reader = stream.getReader();
  const reading = reader.read();
  await new Promise((resolve) => setTimeout(resolve)); // the stream has asked for it
  reader.releaseLock();
  await assertRejects(() => reading, TypeError);
}

Deno.test("Connection.receiveStream() delivers no bytes of a malformed message", async () => {
  await inEveryCut(
    lines({ maxLength: 3 }),
    "one\ntoo long",
    async (connection) => {
      const first = await connection.receive();
      await assertRejects(() => connection.receive(), FramingError);
      const body = connection.receiveStream(1).getReader();
      await assertRejects(() => body.read(), FramingError);
      return first;
    },
    "one",
  );
});

Deno.test("Connection.receiveStream() reads only what its reader asks for", async () => {
  const [near, far] = transportPair({ bufferSize: 1024 });
  await using connection = new Connection(near, {
    framing: lines(),
    readBufferSize: 64,
  });
  const sent = new Uint8Array(4096);
  const sending = (async () => {
    let rest = sent;
    while (rest.length > 0) rest = rest.subarray(await far.write(rest));
  })();
  const reader = connection.receiveStream(sent.length).getReader();
  const first = await reader.read();
  assert((first.value?.length ?? 0) <= 64);
  await until(() => far.isWriting);
  assert(connection.stats().bytesReceived <= 128);
  let length = first.value?.length ?? 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    length += value.length;
  }
  assertEquals(length, sent.length);
  await sending;
  far.close();
});

Deno.test("Connection.detach() hands over unreceived bytes, in every cut", async () => {
  await inEveryCut(lines(), "CONNECT\nraw bytes\n", async (connection) => {
    assertEquals(await connection.receive(), "CONNECT");
    const sent = connection.send("ok");
    const { transport, unread } = await connection.detach();
    await sent;
    await connection.closed;
    assertEquals(await connection.receive(), undefined);
    await assertRejects(() => connection.send("late"), DOMException);
    let rest = text(unread);
    const room = new Uint8Array(3);
    for (;;) {
      const length = await transport.read(room);
      if (length === null) break;
      rest += text(room.subarray(0, length));
    }
    transport.close();
    return rest;
  }, "raw bytes\n");
});

Deno.test("Connection.detach() hands over the bytes that came after a pipe of receiveStream() was aborted", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const controller = new AbortController();
  const piping = connection.receiveStream(100).pipeTo(new WritableStream(), {
    signal: controller.signal,
    preventCancel: true,
  });
  await new Promise((resolve) => setTimeout(resolve)); // the pipe has asked for a piece
  controller.abort();
  await assertRejects(() => piping, DOMException);
  await peer.write("hello");
  await until(() => connection.stats().bytesReceived === 5);
  const { transport, unread } = await connection.detach();
  assertEquals(text(unread), "hello");
  transport.close();
});

Deno.test("Connection.detach() lets a new owner keep the process alive, although unref() was called", async () => {
  for (const isReading of [false, true]) {
    const [near, far] = transportPair();
    let keepsAlive = true;
    const given: Transport = Object.assign(near, {
      ref: () => keepsAlive = true,
      unref: () => keepsAlive = false,
    });
    const connection = new Connection(given, { framing: lines() });
    if (isReading) connection.peerEnded.catch(() => {});
    connection.unref();
    assertEquals(keepsAlive, false);
    const { transport } = await connection.detach();
    await using next = new Connection(transport, { framing: lines() });
    const receiving = next.receive();
    await new Promise((resolve) => setTimeout(resolve)); // the read has begun
    assertEquals(keepsAlive, true);
    await far.write(toBytes("late\n"));
    assertEquals(await receiving, "late");
    far.close();
  }
});

Deno.test("Connection.detach() gives the bytes of a pending read to the new owner", async () => {
  await using ends = await pair({ framing: lines() });
  const { connection, peer } = ends;
  const receiving = connection.receive();
  connection.peerEnded.catch(() => {});
  const { transport, unread } = await connection.detach();
  assertEquals(await receiving, undefined);
  assertEquals(unread.length, 0);
  await peer.write("hello");
  const room = new Uint8Array(3);
  assertEquals(await transport.read(room), 3);
  assertEquals(text(room), "hel");
  assertEquals(await transport.read(room), 2);
  await peer.write("more");
  assertEquals(await transport.read(room), 3);
  await transport.write(toBytes("answer"));
  assertEquals(await peer.read(6), "answer");
  transport.close();
});

Deno.test("Connection.detach() after closeWrite() leaves the peer's bytes to the new owner", async () => {
  const [near, far] = transportPair();
  const options = { framing: lines(), readBufferSize: 2 };
  const connection = new Connection(near, options);
  await connection.send("sent");
  await far.write(toBytes("one, two"));
  await connection.closeWrite();
  const detaching = connection.detach();
  const receiving = connection.receive(); // receives the end
  const { transport, unread } = await detaching;
  assertEquals(await receiving, undefined);
  await far.closeWrite();
  const room = new Uint8Array(10);
  let received = text(unread);
  for (let length; (length = await transport.read(room)) !== null;) {
    received += text(room.subarray(0, length));
  }
  assertEquals(received, "one, two");
  transport.close();
  far.close();
});

Deno.test("Connection.detach() rejects if close() is called while it waits", async () => {
  const [near, far] = transportPair({ bufferSize: 4 });
  const connection = new Connection(near, { framing: lines() });
  connection.send("more than the buffer");
  const refused = assertRejects(
    () => connection.detach(),
    DOMException,
    "has ended",
  );
  const closed = connection.close();
  while (await far.read(new Uint8Array(4)) !== null);
  far.close();
  await refused;
  await closed;
});

Deno.test("Connection.detach() rejects with the error of a malformed message that arrives while it waits", async () => {
  const [near, far] = transportPair({ bufferSize: 4 });
  const connection = new Connection(near, { framing: lines({ maxLength: 1 }) });
  connection.send("1");
  connection.send("2");
  connection.send("3");
  const refused = assertRejects(() => connection.detach(), FramingError);
  const received = assertRejects(() => connection.receive(), FramingError);
  await far.write(toBytes("long"));
  await received;
  await far.closeWrite();
  while (await far.read(new Uint8Array(4)) !== null);
  await refused;
  await assertRejects(() => connection.closed, FramingError);
  far.close();
});

Deno.test("Connection.detach() rejects after the end", async () => {
  const [near, far] = transportPair();
  const connection = new Connection(near, { framing: lines() });
  await connection.close();
  await assertRejects(() => connection.detach(), DOMException, "has ended");
  const [failing] = transportPair();
  const failed = new Connection(failing, { framing: lines() });
  failed.abort(new Error("Enough"));
  await assertRejects(() => failed.detach(), Error, "Enough");
  far.close();
});

const WAYS: [
  name: string,
  open: () => Promise<[Transport, Transport]>,
  moreThanItTakes: number,
][] = [
  [
    "in memory",
    () => Promise.resolve(transportPair()),
    MORE_THAN_MEMORY_TAKES,
  ],
  ["over TCP", sockets, MORE_THAN_KERNEL_TAKES],
];

for (const [name, open, moreThanItTakes] of WAYS) {
  const long = lines({ maxLength: moreThanItTakes });

  // Bytes of a pending read are dropped after reading was stopped, which leaves a gap.
  Deno.test(`Connection.detach() rejects after reading was stopped, ${name}`, async () => {
    for (
      const stop of [
        (connection: Connection<string>) => connection.closeRead(),
        (connection: Connection<string>) => connection.readable.cancel(),
      ]
    ) {
      const [near, far] = await open();
      using peer = new Peer(far);
      await using connection = new Connection(near, { framing: lines() });
      const receiving = connection.receive();
      await stop(connection);
      assertEquals(await receiving, undefined);
      await peer.write("lost\n");
      await assertRejects(
        () => connection.detach(),
        DOMException,
        "closeRead(), or cancelling readable, has stopped reading",
      );
      await assertRejects(
        () => connection.startTls({ serverName: "localhost" }),
        DOMException,
        "has stopped reading",
      );
      await connection.send("still open");
      assertEquals(await peer.read(11), "still open\n");
      peer.close();
    }
  });

  Deno.test(`Connection.detach() rejects if reading is stopped while it waits, ${name}`, async () => {
    for (
      const stop of [
        (connection: Connection<string>) => connection.closeRead(),
        (connection: Connection<string>) => void connection.readable.cancel(),
      ]
    ) {
      const [near, far] = await open();
      using peer = new Peer(far);
      const connection = new Connection(near, { framing: long });
      const receiving = connection.receive();
      connection.send("x".repeat(moreThanItTakes));
      const refused = assertRejects(
        () => connection.detach(),
        DOMException,
        "has stopped reading",
      );
      stop(connection);
      assertEquals(await receiving, undefined);
      assertEquals(await peer.countToEnd(), moreThanItTakes + 1);
      peer.close();
      await refused;
      await connection.closed; // the connection is released
    }
  });

  Deno.test(`Connection.detach() hands over all bytes after a loop was left, ${name}`, async () => {
    const [near, far] = await open();
    using peer = new Peer(far);
    const connection = new Connection(near, { framing: lines() });
    const { readable } = connection;
    await peer.write("one\ntwo\n");
    for await (const _ of readable.values({ preventCancel: true })) break;
    for await (const _ of connection) break;
    connection.peerEnded.catch(() => {}); // starts a read
    const { transport, unread } = await connection.detach();
    await peer.write("three");
    using owner = new Peer(transport);
    assertEquals(text(unread) + await owner.read(5), "three");
  });

  Deno.test(`Connection does not use the transport after it has handed it over, ${name}`, async () => {
    const [near, far] = await open();
    using peer = new Peer(far);
    const connection = new Connection(near, { framing: lines() });
    const refusals: Promise<unknown>[] = [];
    const refuses = (action: () => Promise<unknown>) =>
      refusals.push(assertRejects(action, DOMException, "has ended"));
    connection.send("queued");
    const detaching = connection.detach();
    refuses(() => connection.closeWrite());
    refuses(() => connection.startTls({ serverName: "localhost" }));
    const { transport } = await detaching;
    using owner = new Peer(transport);
    refuses(() => connection.closeWrite());
    refuses(() => connection.writable.close());
    refuses(() => connection.detach());
    refuses(() => connection.startTls({ serverName: "localhost" }));
    await Promise.all(refusals);
    connection.closeRead();
    connection.unref();
    connection.abort();
    await connection.close();
    await connection.closed;
    await Promise.all([owner.write("from owner"), peer.write("to owner")]);
    assertEquals(await peer.read(17), "queued\nfrom owner");
    assertEquals(await owner.read(8), "to owner");
  });

  Deno.test(`Connection.detach() rejects with the reason of an abort() while it waits, ${name}`, async () => {
    const [near, far] = await open();
    using _peer = new Peer(far);
    const connection = new Connection(near, { framing: long });
    connection.send("x".repeat(moreThanItTakes));
    const refused = assertRejects(() => connection.detach(), Error, "Enough");
    connection.abort(new Error("Enough"));
    await refused;
  });

  Deno.test(`Connection.detach() waits for the end that closeWrite() sends, ${name}`, async () => {
    const [near, far] = await open();
    using peer = new Peer(far);
    const connection = new Connection(near, { framing: lines() });
    connection.send("last");
    const closing = connection.closeWrite();
    const { transport } = await connection.detach();
    using owner = new Peer(transport);
    await closing;
    await assertRejects(() => owner.write("more"));
    assertEquals(await peer.readToEnd(), "last\n");
  });
}

Deno.test("Connection.expect() takes a message in any framing, and rejects at the end, in every cut", async () => {
  await inEveryCut(lines(), "3\nabc", async (connection) => {
    const length = Number(await connection.expect());
    const body = await connection.expect({ framing: fixedLength(length) });
    const { name } = await assertRejects(() => connection.expect(), Error);
    return [text(body), name];
  }, ["abc", "UnexpectedEof"]);
});

Deno.test("Connection.expect() rejects with the connection's error, and with its signal's reason", async () => {
  await using ends = await pair({ framing: lines({ maxLength: 2 }) });
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = ends.connection.expect({ signal });
  controller.abort(new Error("No patience"));
  await assertRejects(() => waiting, Error, "No patience");
  await ends.peer.write("a\nlong\n");
  assertEquals(await ends.connection.expect(), "a");
  await assertRejects(() => ends.connection.expect(), FramingError);
});
