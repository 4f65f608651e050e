import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { delimited } from "./delimited.ts";
import { fixedLength } from "./fixed_length.ts";
import type { Bytes } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import { FramingError } from "./framing_error.ts";
import { lines } from "./lines.ts";
import { mapped } from "./mapped.ts";
import { FrameDecoderStream, FrameEncoderStream } from "./streams.ts";
import { DelimiterStream } from "./delimiter_stream.ts";
import {
  bytes,
  failure,
  type Outcome,
  randomText,
  seededRandom,
  text,
} from "./_testing.ts";

/**
 * Reads to the end; with `slowly`, everything else happens between two messages.
 *
 * @returns The messages, then how it failed, if it did.
 */
async function outcomeOf(
  readable: ReadableStream<unknown>,
  slowly: boolean = false,
): Promise<Outcome> {
  const outcome: Outcome = [];
  try {
    for await (const message of readable) {
      if (slowly) await settle();
      outcome.push(message instanceof Uint8Array ? text(message) : message);
    }
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    outcome.push({ code: error.code, offset: error.offset });
  }
  return outcome;
}

function streamOf(...chunks: string[]): ReadableStream<Bytes> {
  return ReadableStream.from(chunks.map(bytes));
}

/** A source that never ends and counts how often it was asked for a chunk. */
function countedSource(chunk: Bytes) {
  const source = { pulls: 0, reason: Promise.withResolvers<unknown>() };
  const readable = new ReadableStream<Bytes>({
    pull(controller) {
      source.pulls++;
      controller.enqueue(chunk.slice());
    },
    cancel: (reason) => source.reason.resolve(reason),
  }, { highWaterMark: 0 });
  return { source, readable };
}

/** Lets all that can happen without further input happen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

Deno.test("FrameDecoderStream gives the messages of its framing", async () => {
  const cases: [
    framing: ConstructorParameters<typeof FrameDecoderStream>[0],
    chunks: string[],
    outcome: Outcome,
  ][] = [
    [lines(), [], []],
    [lines(), ["a\nb", "c\n", "d"], ["a", "bc", "d"]],
    [lines(), ["", "a", "", "\n", ""], ["a"]],
    [fixedLength(2), ["abc", "def"], ["ab", "cd", "ef"]],
    [delimited("abc"), ["x", "a", "b", "c", "y"], ["x", "y"]],
  ];
  for (const [framing, chunks, outcome] of cases) {
    assertEquals(
      await outcomeOf(
        streamOf(...chunks).pipeThrough(new FrameDecoderStream(framing)),
      ),
      outcome,
    );
  }
});

Deno.test("FrameDecoderStream takes ArrayBuffers, as Chrome's WebSocketStream gives them", async () => {
  const { buffer } = new TextEncoder().encode("one\ntwo\n");
  // As from JavaScript.
  const chunks = ReadableStream.from([buffer]) as ReadableStream<never>;
  assertEquals(
    await outcomeOf(chunks.pipeThrough(new FrameDecoderStream(lines()))),
    ["one", "two"],
  );
});

Deno.test("FrameDecoderStream delivers the messages before an error first", async () => {
  const unique = mapped(lines(), {
    decode(line) {
      if (line === "!") {
        throw new FramingError("No", { code: "malformed", offset: 9 });
      }
      return line;
    },
    encode: (line: string) => line,
  });
  const cases: [
    framing: ConstructorParameters<typeof FrameDecoderStream>[0],
    chunks: string[],
    outcome: Outcome,
  ][] = [
    // Thrown by `decode()`: in a separate chunk, in the same chunk, and at the end.
    [lines({ maxLength: 2 }), ["abc"], [failure("too-long", 0)]],
    [lines({ maxLength: 2 }), ["a\nb\n", "cde", "f\n"], [
      "a",
      "b",
      failure("too-long", 4),
    ]],
    [lines({ maxLength: 2 }), ["a\nb\ncde\nf\n", "g\n"], [
      "a",
      "b",
      failure("too-long", 4),
    ]],
    [lines({ maxLength: 2 }), ["a\nb\ncde"], [
      "a",
      "b",
      failure("too-long", 4),
    ]],
    // Thrown by `end()`: after messages of an earlier chunk, and after its own.
    [fixedLength(2), ["a"], [failure("truncated", 0)]],
    [fixedLength(2), ["abcde"], ["ab", "cd", failure("truncated", 4)]],
    [delimited(["ab", "abab"], { trailing: "error" }), ["xabyaba"], [
      "x",
      "y",
      failure("truncated", 6),
    ]],
    [unique, ["a\nb\n!"], ["a", "b", failure("malformed", 9)]],
  ];
  for (const [framing, chunks, outcome] of cases) {
    for (const slowly of [false, true]) {
      const messages = streamOf(...chunks)
        .pipeThrough(new FrameDecoderStream(framing));
      assertEquals(await outcomeOf(messages, slowly), outcome);
    }
  }
});

Deno.test("FrameDecoderStream calls the decoder for the remainder until it returns undefined", async () => {
  for (const fails of [false, true]) {
    const framing: Framing<string, never> = {
      decoder() {
        const remainder = ["a", "b", "c"];
        return {
          decode(input, ended) {
            input.skip(input.length);
            if (!ended) return undefined;
            if (fails && remainder.length === 0) {
              throw new FramingError("No", { code: "malformed", offset: 3 });
            }
            return remainder.shift();
          },
        };
      },
      encoder: () => ({ encode() {} }),
    };
    const messages = streamOf("x").pipeThrough(new FrameDecoderStream(framing));
    assertEquals(
      await outcomeOf(messages),
      ["a", "b", "c", ...(fails ? [failure("malformed", 3)] : [])],
    );
  }
});

Deno.test("FrameDecoderStream keeps messages for a reader that starts after the error", async () => {
  const stream = new FrameDecoderStream(
    lines({ maxLength: 2, trailing: "error" }),
  );
  const writer = stream.writable.getWriter();
  const written = [
    writer.write(bytes("a\nb\n")),
    writer.write(bytes("c\nd")),
    writer.close(),
  ];
  const results = Promise.allSettled(written);
  const closed = assertRejects(() => writer.closed, FramingError);
  await settle();
  assertEquals(await outcomeOf(stream.readable), [
    "a",
    "b",
    "c",
    failure("truncated", 6),
  ]);
  const [first, second, closing] = await results;
  assertEquals([first?.status, second?.status], ["fulfilled", "fulfilled"]);
  assertEquals(closing?.status, "rejected");
  await closed;
});

Deno.test("FrameDecoderStream reports a decoding error to its writer and its source", async () => {
  const { source, readable } = countedSource(bytes("a\nbcd"));
  const messages = readable.pipeThrough(
    new FrameDecoderStream(lines({ maxLength: 3 })),
  );
  assertEquals(await outcomeOf(messages), ["a", failure("too-long", 2)]);
  const reason = await source.reason.promise;
  assert(reason instanceof FramingError);
  assertEquals(reason.code, "too-long");

  const stream = new FrameDecoderStream(lines({ maxLength: 3 }));
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  const closed = assertRejects(() => writer.closed, FramingError);
  const read = assertRejects(() => reader.read(), FramingError);
  await assertRejects(() => writer.write(bytes("abcd")), FramingError);
  await Promise.all([closed, read]);
  await assertRejects(() => writer.write(bytes("e")), FramingError);
});

Deno.test("FrameDecoderStream decodes no further than its reader reads", async () => {
  for (const chunk of ["a\nb\nc\nd\n", "a\n"]) {
    const { source, readable } = countedSource(bytes(chunk));
    const messages = readable.pipeThrough(new FrameDecoderStream(lines()));
    await settle();
    const pullsBefore = source.pulls;
    assert(pullsBefore <= 3, `Pulled ${pullsBefore} times before any read`);
    const reader = messages.getReader();
    for (let reads = 0; reads < 8; reads++) await reader.read();
    await settle();
    const perChunk = chunk.length / 2;
    assert(source.pulls >= 8 / perChunk);
    assert(
      source.pulls <= 8 / perChunk + 3,
      `Pulled ${source.pulls} times for 8 reads`,
    );
    await reader.cancel();
  }
});

Deno.test("FrameDecoderStream makes writers wait for its reader", async () => {
  const stream = new FrameDecoderStream(lines());
  const writer = stream.writable.getWriter();
  let written = 0;
  const writes = Array.from(
    { length: 5 },
    (_, index) => writer.write(bytes(`${index}\n`)).then(() => written++),
  );
  await settle();
  assert(written <= 1, `${written} writes were done before any read`);
  assert((writer.desiredSize ?? 0) < 0);
  const closed = writer.close();
  assertEquals(await outcomeOf(stream.readable), ["0", "1", "2", "3", "4"]);
  await Promise.all([...writes, closed]);
});

Deno.test("FrameDecoderStream settles concurrent reads", async () => {
  const stream = new FrameDecoderStream(lines());
  const reader = stream.readable.getReader();
  const reads = Array.from({ length: 5 }, () => reader.read());
  const writer = stream.writable.getWriter();
  for (const chunk of ["a\nb", "\nc", "d", "\n"]) {
    await writer.write(bytes(chunk));
  }
  await writer.close();
  assertEquals((await Promise.all(reads)).map(({ value }) => value), [
    "a",
    "b",
    "cd",
    undefined,
    undefined,
  ]);
});

Deno.test("FrameDecoderStream gives messages to concurrent reads in order", async () => {
  const stream = new FrameDecoderStream(lines({ maxLength: 2 }));
  const reader = stream.readable.getReader();
  const reads = [reader.read(), reader.read()];
  const writer = stream.writable.getWriter();
  const written = Promise.allSettled([
    writer.write(bytes("a\nb\nc\n")),
    writer.write(bytes("long")),
    writer.closed,
  ]);
  const first = await Promise.all(reads);
  assertEquals(first.map(({ value }) => value), ["a", "b"]);
  await settle();
  assertEquals((await reader.read()).value, "c");
  await assertRejects(() => reader.read(), FramingError);
  const statuses = (await written).map(({ status }) => status);
  assertEquals(statuses, ["fulfilled", "rejected", "rejected"]);
});

Deno.test("FrameDecoderStream passes an abort on to its reader", async () => {
  const reason = new Error("Enough");
  const stream = new FrameDecoderStream(lines());
  const reader = stream.readable.getReader();
  const writer = stream.writable.getWriter();
  const [first] = await Promise.all([
    reader.read(),
    writer.write(bytes("a\nb")),
  ]);
  assertEquals(first.value, "a");
  const read = assertRejects(() => reader.read(), Error);
  await writer.abort(reason);
  assertStrictEquals(await read, reason);
  assertStrictEquals(await assertRejects(() => writer.closed, Error), reason);
});

Deno.test("FrameDecoderStream can be aborted while it is not read", async () => {
  const reason = new Error("Enough");
  const stream = new FrameDecoderStream(lines());
  const writer = stream.writable.getWriter();
  const writes = Promise.allSettled([
    writer.write(bytes("a\n")),
    writer.write(bytes("b\n")),
    writer.write(bytes("c\n")),
  ]);
  const closed = assertRejects(() => writer.closed, Error);
  await settle();
  await writer.abort(reason);
  assertStrictEquals(await closed, reason);
  assertEquals((await writes).at(-1), { status: "rejected", reason });
  const error = await assertRejects(
    () => stream.readable.getReader().read(),
    Error,
  );
  assertStrictEquals(error, reason);
});

Deno.test("FrameDecoderStream passes an error of its source on to its reader", async () => {
  const reason = new Error("Broken");
  const broken = new ReadableStream<Bytes>({
    start: (controller) => controller.enqueue(bytes("a\nb\n")),
    pull: () => Promise.reject(reason),
  }, { highWaterMark: 1 });
  const reader = broken.pipeThrough(new FrameDecoderStream(lines()))
    .getReader();
  const error = await assertRejects(async () => {
    while (!(await reader.read()).done);
  }, Error);
  assertStrictEquals(error, reason);
});

Deno.test("FrameDecoderStream passes a cancel on to its writer and its source", async () => {
  const reason = new Error("Enough");
  for (const chunk of ["a\nb\n", "abc"]) {
    const { source, readable } = countedSource(bytes(chunk));
    const messages = readable.pipeThrough(new FrameDecoderStream(lines()));
    await settle();
    await messages.cancel(reason);
    assertStrictEquals(await source.reason.promise, reason);
  }
  const stream = new FrameDecoderStream(lines());
  const writer = stream.writable.getWriter();
  const writes = Promise.allSettled(
    ["a\nb\n", "c\n", "d\n"].map((chunk) => writer.write(bytes(chunk))),
  );
  const closed = assertRejects(() => writer.closed, Error);
  const reader = stream.readable.getReader();
  assertEquals((await reader.read()).value, "a");
  await reader.cancel(reason);
  assertStrictEquals(await closed, reason);
  const rejected = (await writes).filter((it) => it.status === "rejected");
  assert(rejected.length >= 1);
  for (const write of rejected) assertStrictEquals(write.reason, reason);
  await assertRejects(() => writer.write(bytes("e\n")), Error, "Enough");
});

Deno.test("FrameDecoderStream lets an async iteration end early", async () => {
  const { source, readable } = countedSource(bytes("a\nb\n"));
  for await (
    const line of readable.pipeThrough(new FrameDecoderStream(lines()))
  ) {
    assertEquals(line, "a");
    break;
  }
  await source.reason.promise;
});

Deno.test("FrameDecoderStream has its own decoder for each stream", async () => {
  const framing = lines();
  const half = new FrameDecoderStream(framing);
  const writer = half.writable.getWriter();
  const read = half.readable.getReader().read();
  await writer.write(bytes("half"));
  assertEquals(
    await outcomeOf(
      streamOf("a\n").pipeThrough(new FrameDecoderStream(framing)),
    ),
    ["a"],
  );
  await writer.close();
  assertEquals((await read).value, "half");
});

Deno.test("FrameEncoderStream writes each message as a frame", async () => {
  const frames = ReadableStream.from(["a", "→", ""])
    .pipeThrough(new FrameEncoderStream(lines({ eol: "\r\n" })));
  assertEquals(await outcomeOf(frames), ["a\r\n", "\xe2\x86\x92\r\n", "\r\n"]);
});

Deno.test("FrameEncoderStream delivers the frames before a message that is refused", async () => {
  const reason = Promise.withResolvers<unknown>();
  const messages = ["a", "b", "c\n", "d"];
  const source = new ReadableStream<string>({
    pull(controller) {
      const message = messages.shift();
      if (message === undefined) controller.close();
      else controller.enqueue(message);
    },
    cancel: reason.resolve,
  });
  const reader = source.pipeThrough(new FrameEncoderStream(lines()))
    .getReader();
  assertEquals(text((await reader.read()).value ?? bytes("")), "a\n");
  await settle();
  assertEquals(text((await reader.read()).value ?? bytes("")), "b\n");
  const error = await assertRejects(() => reader.read(), TypeError);
  assertStrictEquals(await reason.promise, error);
});

Deno.test("FrameEncoderStream encodes no further than its reader reads", async () => {
  let pulls = 0;
  const source = new ReadableStream<string>({
    pull(controller) {
      pulls++;
      controller.enqueue("a");
    },
  }, { highWaterMark: 0 });
  const frames = source.pipeThrough(new FrameEncoderStream(lines()));
  await settle();
  assert(pulls <= 3);
  await frames.cancel();
});

Deno.test("FrameDecoderStream reads what FrameEncoderStream writes", async () => {
  const random = seededRandom(29);
  const messages = Array.from(
    { length: 200 },
    () => randomText(random, "abc→", 9),
  );
  const received = ReadableStream.from(messages)
    .pipeThrough(new FrameEncoderStream(lines()))
    .pipeThrough(new FrameDecoderStream(lines()));
  assertEquals(await outcomeOf(received), messages);
});

Deno.test("DelimiterStream gives one more part than there are delimiters", async () => {
  const cases: [
    args: ConstructorParameters<typeof DelimiterStream>,
    chunks: string[],
    outcome: Outcome,
  ][] = [
    [["\n"], ["a\nb", "c\n"], ["a", "bc", ""]],
    [[bytes("|")], ["a|b|"], ["a", "b", ""]],
    [[bytes("|"), { disposition: "suffix" }], ["a|", "b|c"], ["a|", "b|", "c"]],
    [[bytes("|"), { disposition: "suffix" }], ["a|"], ["a|", ""]],
    [[bytes("|"), { disposition: "prefix" }], ["a|", "b|"], ["a", "|b", "|"]],
    [[bytes("|"), { disposition: "prefix" }], ["|a", "|"], ["", "|a", "|"]],
    [[bytes("|"), { disposition: "discard" }], ["|"], ["", ""]],
    [[bytes("abc")], ["x", "a", "b", "c", "y"], ["x", "y"]],
    [[["\r\n", "\n"]], ["a\r", "\nb\n"], ["a", "b", ""]],
    [["\n"], [], [""]],
    [["\n", { maxLength: 2 }], ["ab\nc", "de"], ["ab", failure("too-long", 3)]],
  ];
  for (const [args, chunks, outcome] of cases) {
    const messages = streamOf(...chunks).pipeThrough(
      new DelimiterStream(...args),
    );
    assertEquals(await outcomeOf(messages), outcome);
  }
});

Deno.test("DelimiterStream refuses the options that delimited() refuses", () => {
  assertThrows(() => new DelimiterStream(""), Error);
  assertThrows(() => new DelimiterStream(",", { maxLength: 0 }), RangeError);
});

Deno.test("the streams are TransformStreams", () => {
  for (
    const stream of [
      new DelimiterStream(","),
      new FrameDecoderStream(lines()),
      new FrameEncoderStream(lines()),
    ]
  ) {
    assert(stream instanceof TransformStream);
    assert(stream.readable instanceof ReadableStream);
    assert(stream.writable instanceof WritableStream);
  }
});

// Deno transfers the sides of the stream, Node those that it inherits.
Deno.test("FrameDecoderStream is transferred with its decoder, or not at all", async () => {
  for (
    const stream of [
      new FrameDecoderStream(lines()),
      new DelimiterStream("\n"),
    ]
  ) {
    let transferred: TransformStream<Bytes, Bytes | string>;
    try {
      transferred = structuredClone(stream, { transfer: [stream] });
    } catch (error) {
      assert(error instanceof DOMException);
      assertEquals(error.name, "DataCloneError");
      continue;
    }
    const messages = streamOf("a\nb").pipeThrough(transferred);
    assertEquals(await outcomeOf(messages), ["a", "b"]);
  }
});

Deno.test("FrameDecoderStream reports an error after messages without further bytes", async () => {
  const stream = new FrameDecoderStream(lines({ maxLength: 2 }));
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  const written = writer.write(bytes("a\nlong"));

  assertEquals(await reader.read(), { value: "a", done: false });
  await assertRejects(() => reader.read(), FramingError, "longer than 2 bytes");
  await written;
  await assertRejects(() => writer.closed, FramingError);
});

Deno.test("FrameDecoderStream keeps the order between iteration and readers", async () => {
  const stream = new FrameDecoderStream(lines());
  const writer = stream.writable.getWriter();
  const written = writer.write(bytes("a\nb\nc\nd\ne\n")).then(() =>
    writer.close()
  );
  const received: (string | undefined)[] = [];
  for await (const message of stream.readable.values({ preventCancel: true })) {
    received.push(message);
    if (message === "b") break;
  }
  const reader = stream.readable.getReader();
  received.push((await reader.read()).value);
  reader.releaseLock();
  for await (const message of stream.readable) received.push(message);
  await written;

  assertEquals(received, ["a", "b", "c", "d", "e"]);
});

Deno.test("FrameDecoderStream gives its next reader the message that the last one has asked for first", async () => {
  const stream = new FrameDecoderStream(lines());
  const reader = stream.readable.getReader();
  const left = assertRejects(() => reader.read(), TypeError);
  await settle(); // the stream has requested a message
  reader.releaseLock();
  await left;
  const writer = stream.writable.getWriter();
  await writer.write(bytes("a\nb\nc\n")); // the first is in the stream's own queue
  const received: string[] = [];
  for await (const message of stream.readable) {
    received.push(message);
    if (message === "c") break;
  }
  assertEquals(received, ["a", "b", "c"]);
});

Deno.test("FrameDecoderStream errors both of its sides if a chunk is not bytes", async () => {
  const stream = new FrameDecoderStream(lines());
  const writer = stream.writable.getWriter();
  const reading = stream.readable.getReader().read();
  // As from JavaScript.
  const chunk: unknown = "text";
  await assertRejects(
    () => writer.write(chunk as Uint8Array<ArrayBuffer>),
    TypeError,
  );
  await assertRejects(() => reading, TypeError);
});

Deno.test("FrameDecoderStream gives writers the reason if the framing's own function cancels it", async () => {
  const stream = new FrameDecoderStream(
    mapped(lines(), {
      decode(line) {
        cancelled = reader.cancel("enough");
        return line;
      },
      encode: (line: string) => line,
    }),
  );
  let cancelled: Promise<void> | undefined;
  const reader = stream.readable.getReader();
  const writer = stream.writable.getWriter();
  const reading = reader.read();
  await writer.write(bytes("a\nb\n"));
  assertEquals((await reading).done, true);
  await cancelled;
  assertEquals(await writer.closed.catch((reason) => reason), "enough");
});
