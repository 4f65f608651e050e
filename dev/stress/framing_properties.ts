/** Properties of every framing, with any options, messages and cuts. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import fc from "npm:fast-check@4.10.2";
import { socketPair, sockets } from "../../connection/_testing.ts";
import { Connection } from "../../connection/connection.ts";
import { decodeChunks, type Outcome, text } from "../../framing/_testing.ts";
import {
  ChunkEncoder,
  FrameDecoderStream,
  FrameEncoderStream,
  type Framing,
  FramingError,
  OutputBuffer,
} from "../../framing.ts";
import {
  cutInto,
  cuts,
  type FramingCase,
  framingCase,
} from "./framing_cases.ts";
import { settlement } from "./settling.ts";

/** A property with its name. */
export interface NamedProperty {
  readonly name: string;
  /** The number of cases in a quick run. */
  readonly quickRuns: number;
  readonly property: fc.IAsyncProperty<[FramingCase, readonly number[]]>;
}

const encoder = new TextEncoder();

/** The properties. */
export const FRAMING_PROPERTIES: readonly NamedProperty[] = [
  named("a decoder returns the encoded messages", 1000, checkDecoder),
  named("the streams return the encoded messages", 250, checkStreams),
  named("a connection returns the sent messages", 250, checkConnection),
  named("a pipe returns the messages piped into it", 150, checkPipe),
  named("any bytes decode the same in any cuts", 1800, checkCuts),
  named("any bytes decode the same in a stream", 250, checkDecoderStream),
  named("any bytes decode the same in a connection", 250, checkReceiving),
];

function named(
  name: string,
  quickRuns: number,
  check: (tried: FramingCase, lengths: readonly number[]) => Promise<void>,
): NamedProperty {
  return {
    name,
    quickRuns,
    property: fc.asyncProperty(framingCase, cuts, check),
  };
}

async function checkDecoder(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const { expected, frames } = encodeAll(tried);
  const stream = concat(frames);
  const framing = tried.make();
  for (const overwrite of [false, true]) {
    const outcome = decodeChunks(framing, cutInto(stream, lengths), overwrite);
    assertOutcome(tried, outcome, expected);
  }
  await Promise.resolve();
}

async function checkStreams(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const { taken, expected } = encodeAll(tried);
  const framing = tried.make();
  const encoded: Uint8Array[] = await Array.fromAsync(
    ReadableStream.from(taken).pipeThrough(new FrameEncoderStream(framing)),
  );
  const chunks = cutInto(concat(encoded), lengths);
  const outcome = await decodeInStream(framing, chunks);
  assertOutcome(tried, outcome, expected);
}

async function checkConnection(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const { taken, expected } = encodeAll(tried);
  const [near, far] = await sockets();
  const framing = tried.make();
  const [first = 0, second = 0, third = 0] = lengths;
  await using sender = new Connection(near, {
    framing,
    highWaterMark: 1 + second * 10,
  });
  await using receiver = new Connection(far, {
    framing,
    readBufferSize: 1 + first,
  });
  const receiving = outcomeOf(receiver);
  for (const [index, message] of taken.entries()) {
    const sending = sender.send(message);
    if ((index + third) % 3 === 0) await sending;
  }
  const ended = await settlement(sender.closeWrite(), "closeWrite()");
  assertEquals(ended.status, "fulfilled");
  const { outcome } = await received(receiving);
  assertOutcome(tried, outcome, expected);
  assertEquals(sender.stats().messagesSent, taken.length);
}

async function checkPipe(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const { taken, expected } = encodeAll(tried);
  const [near, far] = await sockets();
  const framing = tried.make();
  const [first = 0, second = 0] = lengths;
  await using sender = new Connection(near, {
    framing,
    highWaterMark: 1 + second * 10,
  });
  await using receiver = new Connection(far, {
    framing,
    readBufferSize: 1 + first,
  });
  const receiving = outcomeOf(receiver.readable);
  const piping = ReadableStream.from(taken).pipeTo(sender.writable);
  const ended = await settlement(piping, "pipeTo()");
  assertEquals(ended.status, "fulfilled");
  const { outcome } = await received(receiving);
  assertOutcome(tried, outcome, expected);
}

async function checkCuts(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const { stream } = tried;
  const whole = decodeChunks(tried.make, [stream.slice()]);
  const cut = cutInto(stream, lengths);
  const single = Array.from(stream, (byte) => new Uint8Array([byte]));
  let start = 0;
  const views = cut.map(({ length }) =>
    stream.subarray(start, start += length)
  );
  for (const chunks of [cut, single, views]) {
    assertOutcome(tried, decodeChunks(tried.make, chunks), whole);
  }
  assertOutcome(tried, decodeChunks(tried.make, cut, true), whole);
  for (const message of whole) {
    if (typeof message !== "string" || tried.isText) continue;
    assert(
      message.length <= tried.maxLength + tried.kept,
      `${message.length} bytes passed maxLength of ${tried.maxLength}`,
    );
  }
  await Promise.resolve();
}

async function checkDecoderStream(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const discarded: number[] = [];
  const framing = tried.make((byteLength) => discarded.push(byteLength));
  const outcome = await decodeInStream(
    framing,
    cutInto(tried.stream, lengths),
    discarded,
  );
  const whole = decodeChunks(tried.make, [tried.stream]);
  assertOutcome(tried, outcome, whole);
}

async function checkReceiving(
  tried: FramingCase,
  lengths: readonly number[],
): Promise<void> {
  const discarded: number[] = [];
  const framing = tried.make((byteLength) => discarded.push(byteLength));
  const [first = 0] = lengths;
  await using both = await socketPair({ framing, readBufferSize: 1 + first });
  const { connection, peer } = both;
  const receiving = outcomeOf(connection, discarded);
  try {
    for (const chunk of cutInto(tried.stream, lengths)) {
      await peer.write(chunk);
    }
    await peer.conn.closeWrite();
  } catch (error) {
    // A connection does not wait for the rest after an error.
    const isEnd = error instanceof Deno.errors.BrokenPipe ||
      error instanceof Deno.errors.NotConnected ||
      error instanceof Deno.errors.ConnectionReset;
    if (!isEnd) throw error;
  }
  const { outcome, failed } = await received(receiving);
  const whole = decodeChunks(tried.make, [tried.stream]);
  assertOutcome(tried, outcome, whole);
  if (failed === undefined) {
    await connection.close();
    await connection.closed;
  } else {
    const closed = await settlement(connection.closed, "closed");
    assert(closed.status === "rejected" && closed.reason === failed);
  }
}

async function received<T>(receiving: Promise<T>): Promise<T> {
  const result = await settlement(receiving, "Receiving");
  if (result.status === "rejected") throw result.reason;
  return result.value;
}

/** The messages that the framing accepts, as read back, and their frames. */
function encodeAll(
  { make, messages, mustTakeAll, isFilledIn, isText }: FramingCase,
): { taken: unknown[]; expected: unknown[]; frames: Uint8Array[] } {
  const framing = make();
  const frameEncoder = new ChunkEncoder(framing);
  // The same messages in one buffer, where a refused frame must leave nothing.
  const gathered = new OutputBuffer();
  const gathering = framing.encoder();
  const taken: unknown[] = [];
  const expected: unknown[] = [];
  const frames: Uint8Array[] = [];
  for (const message of messages) {
    let frame;
    try {
      frame = frameEncoder.encode(message);
    } catch (error) {
      // The runtime also throws errors of these classes.
      const isRefusal =
        (error instanceof TypeError || error instanceof RangeError) &&
        error.message.startsWith("Cannot encode ");
      if (!isRefusal || mustTakeAll) throw error;
      const { byteLength } = gathered;
      assertThrows(() => gathered.push(gathering, message));
      assertEquals(gathered.byteLength, byteLength);
      continue;
    }
    gathered.push(gathering, message);
    taken.push(message);
    frames.push(frame);
    const sent = isFilledIn ? frame : message;
    const isBytes = typeof sent === "string" && !isText;
    expected.push(comparable(isBytes ? encoder.encode(sent) : sent));
  }
  assertEquals(text(gathered.takeBytes()), text(concat(frames)));
  return { taken, expected, frames };
}

/** A received message in a form that compares quickly. */
function comparable(message: unknown): unknown {
  return message instanceof Uint8Array ? text(message) : message;
}

function assertOutcome(
  { isUnframed, isMapped }: FramingCase,
  actual: Outcome,
  expected: Outcome,
): void {
  if (isUnframed) {
    assertEquals(actual.join(""), expected.join(""));
    return;
  }
  // A drop after a message that does not belong to the mapping is reported if it was in
  // the same chunk.
  const [one, other] = isMapped && hasFailed(expected)
    ? [withoutDiscarded(actual), withoutDiscarded(expected)]
    : [actual, expected];
  if (JSON.stringify(one) !== JSON.stringify(other)) assertEquals(one, other);
}

function hasFailed(outcome: Outcome): boolean {
  const last = outcome.at(-1);
  return typeof last === "object" && last !== null && "code" in last;
}

function withoutDiscarded(outcome: Outcome): Outcome {
  return outcome.filter((each) =>
    typeof each !== "object" || each === null || !("discarded" in each)
  );
}

function decodeInStream(
  framing: Framing<unknown, unknown>,
  chunks: Uint8Array[],
  discarded?: number[],
): Promise<Outcome> {
  const messages = ReadableStream.from(chunks)
    .pipeThrough(new FrameDecoderStream(framing));
  return received(outcomeOf(messages, discarded).then((all) => all.outcome));
}

/** The received messages, in the form of {@linkcode decodeChunks}. */
async function outcomeOf(
  messages: AsyncIterable<unknown>,
  discarded: number[] = [],
): Promise<{ outcome: Outcome; failed: FramingError | undefined }> {
  const outcome: Outcome = [];
  let failed: FramingError | undefined;
  try {
    for await (const message of messages) outcome.push(comparable(message));
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    failed = error;
  }
  if (discarded.length > 0) outcome.push({ discarded });
  if (failed !== undefined) {
    const { code, offset } = failed;
    outcome.push({ code, offset });
  }
  return { outcome, failed };
}
