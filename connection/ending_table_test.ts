/**
 * How a connection ends: each cell of the table in CONTRIBUTING.md, whose rules are in
 * `_ending.ts`.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Framing } from "../framing/framing.ts";
import { FramingError } from "../framing/framing_error.ts";
import { lines } from "../framing/lines.ts";
import { systemError } from "../internal/system_error.ts";
import type { PairedTransport } from "../testing/paired_transport.ts";
import { transportPair } from "../testing/transport_pair.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./options.ts";
import { overriding, turn, until } from "./_testing.ts";

/** One row of the table. */
interface Row {
  /** What happens to messages that were read but not received. */
  readonly received: "delivered" | "dropped";
  /** What happens to bytes in the kernel. */
  readonly unread: "delivered" | "read, and dropped" | "dropped";
  /** What happens to messages that are queued. */
  readonly queued: "sent" | "dropped";
  /** Whether this side's end is sent after them. */
  readonly end: "sent" | "not sent";
  /** Whether `closed` and `signal` report an error. */
  readonly told: "as an error" | "as an end";
}

/** What ends a connection. */
interface Cause {
  readonly name: string;
  readonly row: Row;
  readonly options?: Partial<ConnectionOptions<string, string>>;
  /** What the peer sends after the messages, if the cause needs it. */
  readonly malformed?: string;
  readonly end: (scene: Scene) => unknown;
  /** The name of the reported error. */
  readonly error?: string;
}

interface Scene {
  readonly connection: Connection<string, string>;
  readonly peer: PairedTransport;
  /** Makes all writes fail, also a pending one. */
  failWrites(error: Error): void;
}

const CLOSED: Row = {
  received: "delivered",
  unread: "read, and dropped",
  queued: "sent",
  end: "sent",
  told: "as an end",
};
const FAILED: Row = {
  received: "delivered",
  unread: "dropped",
  queued: "dropped",
  end: "not sent",
  told: "as an error",
};
const ABORTED: Row = { ...FAILED, received: "dropped" };

const controller = { current: new AbortController() };

const CAUSES: Cause[] = [
  {
    name: "both sides ended",
    row: { ...CLOSED, unread: "delivered" }, // all has been read already
    async end({ connection, peer }) {
      await peer.closeWrite();
      connection.closeWrite();
    },
  },
  {
    name: "close()",
    row: CLOSED,
    end: ({ connection }) => void connection.close(),
  },
  {
    name: "a FramingError",
    row: { ...CLOSED, told: "as an error" },
    malformed: "much too long\n",
    end: () => {}, // ended by received bytes
    error: "FramingError",
  },
  {
    name: "a failed write",
    row: { ...FAILED, unread: "delivered" },
    async end({ peer, failWrites }) {
      failWrites(systemError("BrokenPipe", "Gone"));
      await peer.closeWrite();
    },
    error: "BrokenPipe",
  },
  {
    name: "a timeout",
    row: FAILED,
    options: { sendTimeout: 20 },
    end: ({ connection }) => until(() => connection.hasEnded),
    error: "TimeoutError",
  },
  {
    name: "another error",
    row: FAILED,
    async end({ connection, failWrites }) {
      failWrites(new RangeError("Odd"));
      await until(() => connection.hasEnded);
    },
    error: "RangeError",
  },
  {
    name: "abort()",
    row: ABORTED,
    end: ({ connection }) => connection.abort(),
    error: "AbortError",
  },
  {
    name: "a signal",
    row: ABORTED,
    end: () => controller.current.abort(new RangeError("Enough")),
    error: "RangeError",
  },
];

// Takes short messages and sends long ones.
const framing: Framing<string> = {
  decoder: () => lines({ maxLength: 8 }).decoder(),
  encoder: () => lines().encoder(),
};
// More than fits, so a part stays queued until the peer reads.
const BUFFER_BYTES = 100;
const QUEUED = "x".repeat(10 * BUFFER_BYTES);

interface Observed {
  readonly row: Row;
  readonly messages: string[];
  readonly error: unknown;
  readonly reason: unknown;
}

/** Ends a connection that has bytes of each kind, and returns what happened to them. */
async function observe(cause: Cause): Promise<Observed> {
  const [near, peer] = transportPair({ bufferSize: BUFFER_BYTES });
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  let reads = 0;
  let isEndSent = false;
  const transport = overriding(near, {
    read(buffer) {
      reads++;
      return near.read(buffer);
    },
    write: (bytes) => Promise.race([near.write(bytes), broken.promise]),
    closeWrite() {
      isEndSent = true;
      return near.closeWrite();
    },
  });
  controller.current = new AbortController();
  const connection = new Connection(transport, {
    framing,
    signal: controller.current.signal,
    ...cause.options,
  });

  // Two messages are read and not received, a third is in the kernel, one is queued.
  await write(peer, `one\ntwo\nthree\n${cause.malformed ?? ""}`);
  assertEquals(await connection.receive(), "one");
  await write(peer, "four\n");
  connection.send(QUEUED);
  await until(() => near.isWriting);
  assertEquals(near.arrived, 5);
  const readsBefore = reads;

  await cause.end({ connection, peer, failWrites: broken.reject });
  // The peer reads, and this side receives, only now that the end has begun.
  const taken = readToEnd(peer).finally(() => peer.close());
  const { messages } = await receiveAll(connection);
  const text = await taken;
  const error = await connection.closed.then(() => undefined, (error) => error);
  assert(near.isClosed);

  const isDelivered = messages.includes("four");
  return {
    row: {
      received: messages.includes("two") ? "delivered" : "dropped",
      unread: isDelivered
        ? "delivered"
        : reads > readsBefore
        ? "read, and dropped"
        : "dropped",
      queued: text === `${QUEUED}\n` ? "sent" : "dropped",
      end: isEndSent ? "sent" : "not sent",
      told: error === undefined ? "as an end" : "as an error",
    },
    messages,
    error,
    reason: connection.signal.reason,
  };
}

async function write(end: PairedTransport, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  assertEquals(await end.write(bytes), bytes.length);
}

/** Receives until the end or an error. */
async function receiveAll(
  connection: Connection<string, string>,
): Promise<{ messages: string[]; error: unknown }> {
  const messages: string[] = [];
  try {
    for await (const message of connection) messages.push(message);
    return { messages, error: undefined };
  } catch (error) {
    return { messages, error };
  }
}

async function readToEnd(end: PairedTransport): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(1000);
  let text = "";
  for (;;) {
    // A reset ends the messages too.
    const length = await end.read(buffer).catch(() => null);
    if (length === null) return text;
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

const CELLS: Record<keyof Row, string> = {
  received: "messages that were read are",
  unread: "bytes in the kernel are",
  queued: "queued messages are",
  end: "its own end is",
  told: "it is told",
};

for (const cause of CAUSES) {
  for (const cell of ["received", "unread", "queued", "end", "told"] as const) {
    Deno.test(`Connection, ended by ${cause.name}: ${CELLS[cell]} ${cause.row[cell]}`, async () => {
      const { row } = await observe(cause);
      assertEquals(row[cell], cause.row[cell]);
    });
  }

  Deno.test(`Connection, ended by ${cause.name}: messages arrive in order, and the error after them`, async () => {
    const { row, messages, error, reason } = await observe(cause);
    const inOrder = ["two", "three", "four"];
    const expected = row.received === "dropped"
      ? []
      : row.unread === "delivered"
      ? inOrder
      : inOrder.slice(0, 2);
    assertEquals(messages, expected);
    assertEquals(
      error instanceof Error || error instanceof DOMException
        ? error.name
        : error,
      cause.error,
    );
    assertEquals(reason, error);
    assertEquals(error instanceof FramingError, cause.malformed !== undefined);
  });
}

/** How long a connection takes to close while its peer keeps sending. */
async function timeToClose(
  sent: string,
  end: (connection: Connection<string, string>, fail: () => void) => unknown,
): Promise<number> {
  const [near, peer] = transportPair();
  let hasFailed = false;
  const transport = overriding(near, {
    write: (bytes) =>
      hasFailed
        ? Promise.reject(systemError("BrokenPipe", "Gone"))
        : near.write(bytes),
  });
  const connection = new Connection(transport, { framing });
  connection.send("so that there is something to lose");
  await connection.flush();
  await write(peer, sent);
  const sending = (async () => {
    for (;;) {
      await write(peer, "more\n");
      await turn();
    }
  })().catch(() => {});
  const start = performance.now();
  await end(connection, () => hasFailed = true);
  await connection.closed.catch(() => {});
  const time = performance.now() - start;
  await sending; // until a write fails
  return time;
}

Deno.test("Connection drains a peer that keeps sending for up to a second, then closes", async () => {
  const [closed, malformed, gone, aborted] = await Promise.all([
    timeToClose("one\n", (connection) => void connection.close()),
    timeToClose("much too long\n", (connection) => {
      connection.receive().catch(() => {});
    }),
    timeToClose("one\n", (connection, fail) => {
      fail();
      connection.send("which cannot go out");
    }),
    timeToClose("one\n", (connection) => connection.abort()),
  ]);
  for (const time of [closed, malformed, gone]) {
    assert(time > 900, `${time} ms`);
    assert(time > 2 * aborted, `${time} ms beside ${aborted} ms`);
  }
});
