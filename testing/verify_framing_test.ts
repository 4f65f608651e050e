import { assert, assertEquals, assertThrows } from "@std/assert";
import { asJson } from "../framing/as_json.ts";
import { asText } from "../framing/as_text.ts";
import { assembled } from "../framing/assembled.ts";
import { delimited } from "../framing/delimited.ts";
import { fixedLength } from "../framing/fixed_length.ts";
import type { ByteOutput } from "../framing/byte_output.ts";
import type { Decoder, Framing } from "../framing/framing.ts";
import { FramingError } from "../framing/framing_error.ts";
import { type HeaderLines, headerLines } from "../framing/header_lines.ts";
import { lengthPrefixed } from "../framing/length_prefixed.ts";
import { lines } from "../framing/lines.ts";
import { mapped } from "../framing/mapped.ts";
import { netstrings } from "../framing/netstrings.ts";
import { unframed } from "../framing/unframed.ts";
import { verifyFraming, type VerifyFramingOptions } from "./verify_framing.ts";

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const x = (length: number) => "x".repeat(length);

/** A length byte and that many bytes of text, with another decoder if one is given. */
function words(
  decode: Decoder<string>["decode"] = takeWord,
  rest: Partial<Decoder<string>> = {},
): Framing<string> {
  return {
    decoder: () => ({ decode, ...rest }),
    encoder: () => ({
      encode(word, output) {
        if (word.length > 9) throw new RangeError("Too long");
        output.writeByte(word.length);
        output.writeText(word);
      },
    }),
  };
}

const takeWord: Decoder<string>["decode"] = (input) => {
  const length = input.byteAt(0);
  if (length === undefined || input.length <= length) return undefined;
  if (length > 9) {
    throw new FramingError("Too long", {
      code: "too-long",
      offset: input.offset,
    });
  }
  input.skip(1);
  return input.takeText(length);
};

function malformed(offset: number): FramingError {
  return new FramingError("Wrong", { code: "malformed", offset });
}

const SENT = ["one", "", "three", "two"];

/** The message with which `verifyFraming()` refuses `framing`. */
function faultOf<In, Out>(
  framing: Framing<In, Out>,
  messages: readonly Out[],
  options?: VerifyFramingOptions<In, Out>,
): string {
  return assertThrows(() => verifyFraming(framing, messages, options), Error)
    .message;
}

function assertIncludes(text: string, ...parts: string[]): void {
  for (const part of parts) {
    assert(text.includes(part), `${JSON.stringify(part)} in ${text}`);
  }
}

Deno.test("verifyFraming() passes the framings of this module", () => {
  const short = ["", "a", "hello", "→", x(300)];
  verifyFraming(lines(), short, {
    limit: {
      maxLength: 1024 * 1024,
      message: x,
      larger: lines({ maxLength: Infinity }),
    },
    rounds: 20,
  });
  verifyFraming(lines({ eol: "\r\n", maxLength: 300 }), short, {
    limit: { maxLength: 300, message: x, larger: lines({ eol: "\r\n" }) },
  });
  verifyFraming(delimited("--"), ["", "a-b", "c"]);
  verifyFraming(netstrings({ maxLength: 300 }), short, {
    limit: { maxLength: 300, message: x, larger: netstrings() },
    refused: ["05:hello,", "5:hello;", "301:", "hello"].map(bytes),
  });
  for (const fieldSize of [1, 2, 4, 8, "varint"] as const) {
    verifyFraming(lengthPrefixed({ fieldSize, maxLength: 200 }), ["", x(200)], {
      limit: {
        maxLength: 200,
        message: x,
        larger: lengthPrefixed({ fieldSize }),
      },
    });
  }
  verifyFraming(fixedLength(3), ["abc", "def"]);
  verifyFraming(asText(netstrings()), short);
  verifyFraming(asJson(delimited("\n")), [{ a: [1, null] }, "text", 3]);
  verifyFraming(words(), SENT, {
    limit: { maxLength: 9, message: x },
    refused: [Uint8Array.of(10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
  });
});

Deno.test("verifyFraming() compares received messages deeply", () => {
  const values = mapped(lines(), {
    decode: (line) => ({ text: line, bytes: [bytes(line)], at: new Date(0) }),
    encode: (line: string) => line,
  });
  const received = ["a", "b"].map((line) => ({
    text: line,
    bytes: [bytes(line)],
    at: new Date(0),
  }));
  verifyFraming(values, ["a", "b"], { received });
  assertIncludes(
    faultOf(values, ["b", "b"], { received }),
    'gives message 0 as {"text":"b"',
    'which was {"text":"a"',
  );
});

Deno.test("verifyFraming() compares and shows objects that refer to each other", () => {
  /** Objects that each refer to all of them. */
  const graph = (size: number) => {
    const nodes = Array.from({ length: size }, (): { to: unknown } => ({
      to: undefined,
    }));
    for (const node of nodes) node.to = nodes;
    return nodes[0];
  };
  const graphs = mapped(lines(), {
    decode: (line) => graph(Number(line)),
    encode: (_: unknown) => "30",
  });
  verifyFraming(graphs, [graph(30)], { rounds: 1 });

  /** Objects in a ring of that length. */
  const ring = (length: number) => {
    const first: { next?: unknown } = {};
    let last = first;
    for (let i = 1; i < length; i++) last.next = last = {};
    last.next = first;
    return first;
  };
  const rings = mapped(lines(), {
    decode: () => ring(2),
    encode: (_: unknown) => "",
  });
  verifyFraming(rings, [ring(3)]); // equal at each step
});

Deno.test("verifyFraming() compares the extra properties of a subclass of Map", () => {
  class Named extends Map<string, number> {
    name = "";
  }
  const named = mapped(lines(), {
    decode: (line) => new Named([["size", line.length]]),
    encode: ({ name }: Named) => name,
  });
  const message = new Named([["size", 1]]);
  verifyFraming(named, [message], { received: [new Named([["size", 0]])] });
  message.name = "a";
  assertIncludes(faultOf(named, [message]), "message 0");
});

Deno.test("verifyFraming() compares headers, which have no properties", () => {
  const forgetful = mapped(headerLines(), {
    decode: ({ first }) => ({ first, headers: new Headers() }),
    encode: (message: HeaderLines) => message,
  });
  verifyFraming(forgetful, [{ first: "a", headers: new Headers() }]);
  const message = { first: "a", headers: new Headers({ b: "1" }) };
  assertIncludes(faultOf(forgetful, [message]), "message 0");
});

Deno.test("verifyFraming() finds a message that is not read back", () => {
  const shouted = mapped(lines(), {
    decode: (line) => line,
    encode: (line: string) => line.toUpperCase(),
  });
  assertIncludes(
    faultOf(shouted, ["OK", "oh"]),
    'gives message 1 as "OH", which was "oh"',
  );
  assertIncludes(faultOf(words(), [x(10)]), "message 0", "cannot be encoded");
});

Deno.test("verifyFraming() names the one cut that breaks a framing", () => {
  const early = words((input) => {
    const length = input.byteAt(0);
    if (length === undefined) return undefined;
    input.skip(1); // before the rest is there
    return input.length < length ? undefined : input.takeText(length);
  });
  assertIncludes(
    faultOf(early, ["one", "two"]),
    'cut into "\\x03" | "one\\x03two" at 1: it gives message 0 as "two", which was "one"',
  );
});

Deno.test("verifyFraming() leaves out of its report cuts that do not matter", () => {
  // Wrong only for a read of exactly two bytes, in a stream too long to try every cut.
  let last = 0;
  const framing: Framing<string> = {
    decoder() {
      last = 0;
      return {
        decode(input, ended) {
          const end = input.offset + input.length;
          const length = end - last;
          last = end;
          if (length === 2 && !ended) input.skip(1);
          return takeWord(input, ended);
        },
      };
    },
    encoder: () => words().encoder(),
  };
  const fault = faultOf(framing, Array.from({ length: 500 }, () => "word"));
  assertIncludes(fault, "cut");
  assert(/ at (\d+, )?\d+(, \d+)?: it gives/.test(fault), fault);
  assert(/ bytes\) …".{40,}" \| "/.test(fault), fault);
});

Deno.test("verifyFraming() finds a view that is overwritten", () => {
  // One buffer for all messages of a stream.
  const framing: Framing<Uint8Array<ArrayBuffer>, Uint8Array> = {
    decoder() {
      const buffer = new Uint8Array(3);
      return {
        decode(input) {
          if (input.length < 3) return undefined;
          buffer.set(input.take(3));
          return buffer;
        },
      };
    },
    encoder: () => fixedLength(3).encoder(),
  };
  assertIncludes(
    faultOf(framing, [bytes("abc"), bytes("def")]),
    'gives message 0 as "def", which was "abc"',
  );
});

Deno.test("verifyFraming() finds a decoder that still uses a message that it has returned", () => {
  /** Sends the changes since the last message. */
  function changes(isCopied: boolean): Framing<Uint8Array<ArrayBuffer>> {
    return {
      decoder() {
        let last = new Uint8Array(3);
        return {
          decode(input) {
            if (input.length < 3) return undefined;
            const message = input.take(3).map((byte, i) =>
              byte ^ (last[i] ?? 0)
            );
            last = isCopied ? message.slice() : message;
            return message;
          },
        };
      },
      encoder() {
        let last = new Uint8Array(3);
        return {
          encode(message, output) {
            output.writeBytes(message.map((byte, i) => byte ^ (last[i] ?? 0)));
            last = message.slice();
          },
        };
      },
    };
  }
  const messages = ["abc", "abd", "xyz"].map(bytes);
  verifyFraming(changes(true), messages);
  assertIncludes(
    faultOf(changes(false), messages),
    "whole, gives message 1 as",
    "as its receiver writes over each message",
  );
});

Deno.test("verifyFraming() names the cut that breaks a stream of many bytes", () => {
  const tooEarly = words((input) => {
    const length = input.byteAt(0);
    if (length === undefined) return undefined;
    input.skip(1);
    return input.length < length ? undefined : input.takeText(length);
  });
  const fault = faultOf(tooEarly, Array(20).fill("ninebytes"));
  assertIncludes(fault, 'cut into "\\x09" | "ninebytes', " at 1: ");
});

Deno.test("verifyFraming() distinguishes messages that have no properties", () => {
  const kinds: [string, (text: string) => unknown][] = [
    ["URL", (text) => new URL(`http://x/#${text}`)],
    ["Error", (text) => new Error(text)],
    ["FramingError", (text) => new FramingError(text)],
    ["ArrayBuffer", (text) => bytes(text).buffer],
    ["DataView", (text) => new DataView(bytes(text).buffer)],
  ];
  for (const [kind, make] of kinds) {
    const framing = mapped(lines(), { decode: make, encode: String });
    verifyFraming(framing, ["a", "b"], { received: [make("a"), make("b")] });
    const fault = faultOf(framing, ["a"], { received: [make("b")] });
    assertIncludes(fault, "gives message 0 as", kind === "URL" ? "x/#a" : "");
  }
});

Deno.test("verifyFraming() shows the difference between two messages", () => {
  class Reading {
    constructor(readonly value: unknown) {}
  }
  const x = Symbol("x");
  const pairs: [unknown, string, unknown, string][] = [
    [{ a: NaN }, '{"a":NaN}', { a: null }, '{"a":null}'],
    [[-0], "[-0]", [0], "[0]"],
    [{ a: undefined }, '{"a":undefined}', {}, "{}"],
    [1n, "1n", "1n", '"1n"'],
    [x, "Symbol(x)", true, "true"],
    [new Reading(1), 'Reading {"value":1}', { value: 1 }, '{"value":1}'],
    [new Map([["a", 1]]), 'Map [["a",1]]', new Map(), "Map []"],
    [new Set(["a"]), 'Set ["a"]', new Set(), "Set []"],
    [
      new Headers({ a: "1" }),
      'Headers [["a","1"]]',
      Object.create(null),
      "{}",
    ],
    [[bytes("")], '[Uint8Array ""]', new ArrayBuffer(0), 'ArrayBuffer ""'],
    [
      new Date(1),
      "Date 1970-01-01T00:00:00.001Z",
      new Date(NaN),
      "Date null",
    ],
    [/a/, "/a/ {}", new Error("b"), "Error: b {}"],
  ];
  for (const [one, shown, other, shownOther] of pairs) {
    const framing = mapped(lines(), { decode: () => one, encode: String });
    verifyFraming(framing, ["a"], { received: [one] });
    assertIncludes(
      faultOf(framing, ["a"], { received: [other] }),
      `message 0 as ${shown}, which was ${shownOther} (`,
    );
  }
});

Deno.test("verifyFraming() compares messages that contain themselves", () => {
  interface Node {
    name: string;
    children: { parent: Node }[];
  }
  const node = (name: string): Node => {
    const node: Node = { name, children: [] };
    node.children.push({ parent: node });
    return node;
  };
  const nodes = mapped(lines(), {
    decode: node,
    encode: ({ name }: Node) => name,
  });
  const sent = ["a", "b"].map(node);
  verifyFraming(nodes, sent);
  assertIncludes(
    faultOf(nodes, sent, { received: sent.toReversed() }),
    'message 0 as {"name":"a","children":[{"parent":…}]}, which was {"name":"b"',
  );
});

Deno.test("verifyFraming() finds shared bytes inside any message", () => {
  const kinds: [string, (bytes: Uint8Array<ArrayBuffer>) => unknown][] = [
    ["Map", (bytes) => new Map([["a", bytes]])],
    ["Set", (bytes) => new Set([bytes])],
    ["ArrayBuffer", (bytes) => bytes.buffer],
    ["Int16Array", (bytes) => [new Int16Array(bytes.buffer)]],
    ["DataView", (bytes) => ({ view: new DataView(bytes.buffer) })],
  ];
  for (const [kind, make] of kinds) {
    const shared = make(bytes("same"));
    const framing = mapped(lines(), { decode: () => shared, encode: String });
    const fault = faultOf(framing, ["a", "b"], {
      received: [make(bytes("same")), make(bytes("same"))],
    });
    assertIncludes(fault, "writes over each message", kind);
  }
});

Deno.test("verifyFraming() finds state that streams share", () => {
  let count = 0;
  const counted: Framing<string> = {
    ...lines(),
    encoder: () => ({
      encode: (line, output) => output.writeText(`${++count}${line}\n`),
    }),
  };
  assertIncludes(faultOf(counted, ["a"]), '"1a\\n"', '"2a\\n"', "share state");

  const decoder = (() => {
    let number = 0;
    return {
      decode: (
        input: Parameters<Decoder<string>["decode"]>[0],
        ended: boolean,
      ) => {
        const line = lines().decoder().decode(input, ended);
        if (ended && input.length === 0) number = 0;
        return line === undefined ? undefined : `${number++}${line}`;
      },
    };
  })();
  const shared: Framing<string> = { ...lines(), decoder: () => decoder };
  assertIncludes(
    faultOf(shared, ["a", "b"], { received: ["0a", "1b"] }),
    "while another stream is decoded",
  );
});

Deno.test("verifyFraming() finds state that streams share within a message", () => {
  let length: number | undefined;
  const sharing = words((input) => {
    if (length === undefined) {
      length = input.byteAt(0);
      if (length === undefined) return undefined;
      input.skip(1);
    }
    if (input.length < length) return undefined;
    const word = input.takeText(length);
    length = undefined;
    return word;
  });
  assertIncludes(
    faultOf(sharing, ["one", "two"]),
    'gives message 0 as "\\u0003on", which was "one"',
    "while another stream lacks the last byte of a frame",
  );

  const resetting: Framing<string> = {
    ...sharing,
    decoder() {
      length = undefined;
      return sharing.decoder();
    },
  };
  assertIncludes(
    faultOf(resetting, ["one", "three"]),
    "while other streams are decoded within its messages",
  );
});

Deno.test("verifyFraming() finds state that both directions of a stream share", () => {
  /** Numbered lines; `next` returns the number. */
  function numbered(next: (isDecoding: boolean) => number): Framing<string> {
    return mapped(lines(), {
      decode: (line) => line.replace("0", `${next(true)}`),
      encode: (line: string) => line.replace("0", `${next(false)}`),
    });
  }
  let received = 0;
  const answering = numbered((isDecoding) => {
    if (isDecoding) received++;
    return isDecoding ? 0 : received;
  });
  assertIncludes(
    faultOf(answering, ["a0", "b0"]),
    'Message 0, "a0", is encoded as "a0\\n", and as "a',
    "while a stream is decoded: the directions share state",
  );

  let isIdle = false;
  const asking: Framing<string> = {
    decoder() {
      isIdle = true; // so is each stream that starts later
      return mapped(lines(), {
        decode: (line) => isIdle ? line : `${line}?`,
        encode: String,
      }).decoder();
    },
    encoder: () => ({
      encode(line, output) {
        isIdle = false;
        lines().encoder().encode(line, output);
      },
    }),
  };
  assertIncludes(
    faultOf(asking, ["a", "b"]),
    'gives message 1 as "b?", which was "b"',
    "while another stream is decoded, and a third encoded",
  );
});

Deno.test("verifyFraming() finds an encoder that masks the message in place", () => {
  const masking: Framing<Uint8Array<ArrayBuffer>, Uint8Array> = {
    ...fixedLength(3),
    encoder: () => ({
      encode: (message, output) =>
        output.writeBytes(
          message.map((_, i) => message[i] = ~(message[i] ?? 0)),
        ),
    }),
  };
  assertIncludes(
    faultOf(masking, [bytes("abc")]),
    'message 0, "abc" was changed as it was encoded',
  );
});

Deno.test("verifyFraming() finds a message that waits for the next frame", () => {
  const late: Framing<string> = {
    ...words(),
    decoder: () => ({
      decode(input, ended) {
        const length = input.byteAt(0) ?? Infinity;
        const isNextThere = input.length > length + 1;
        return ended || isNextThere ? takeWord(input, ended) : undefined;
      },
    }),
  };
  assertIncludes(faultOf(late, SENT), "Frame 0", "with its last byte");
  verifyFraming(late, SENT, { prompt: false });
});

Deno.test("verifyFraming() finds a message that waits for the next frame where its own was cut", () => {
  const greedy = words((input, ended) => {
    const length = input.byteAt(0);
    if (length === undefined) return undefined;
    return input.length < length + 1
      ? input.need(length + 2) // one too many
      : takeWord(input, ended);
  });
  assertIncludes(
    faultOf(greedy, SENT),
    "cut at",
    "its message must come with its last byte",
  );
  verifyFraming(greedy, SENT, { prompt: false });
});

Deno.test("verifyFraming() passes a message that ends with bytes of the next one", () => {
  const prefix = asText(delimited("--", { disposition: "prefix" }));
  verifyFraming(prefix, ["--one", "--", "--two"], { prompt: false });
});

Deno.test("verifyFraming() passes a stream that ends after a preface", () => {
  // A preface, once in a stream.
  const prefaced: Framing<string> = {
    decoder() {
      let hasBegun = false;
      return {
        decode(input, ended) {
          if (!hasBegun) {
            if (input.length < 4) return undefined;
            if (input.takeText(4) !== "MAG1") throw malformed(input.offset);
            hasBegun = true;
          }
          return takeWord(input, ended);
        },
      };
    },
    encoder() {
      const encoder = words().encoder();
      let hasBegun = false;
      return {
        encode(word, output) {
          if (!hasBegun) output.writeText("MAG1");
          encoder.encode(word, output);
          hasBegun = true;
        },
      };
    },
  };
  verifyFraming(prefaced, ["one"]);
  verifyFraming(prefaced, SENT);

  // A topic that applies to all lines up to the next topic.
  type Line = { topic: string; text: string };
  const { decoder } = assembled(lines({ trailing: "error" }), () => {
    let topic = "";
    return function* (line): Generator<Line> {
      if (line.startsWith("@")) topic = line.slice(1);
      else yield { topic, text: line };
    };
  });
  const topics: Framing<Line> = {
    decoder,
    encoder() {
      let last = "";
      return {
        encode({ topic, text }, output) {
          if (topic !== last) output.writeText(`@${topic}\n`);
          output.writeText(`${text}\n`);
          last = topic;
        },
      };
    },
  };
  verifyFraming(topics, [
    { topic: "a", text: "one" },
    { topic: "a", text: "two" },
    { topic: "b", text: "three" },
  ]);
});

Deno.test("verifyFraming() finds a message that is lost with the one after it", () => {
  /** Returns each word when the next one has arrived. */
  const late: Framing<string> = {
    decoder() {
      let held: string | undefined;
      return {
        decode(input, ended) {
          for (;;) {
            const word = takeWord(input, ended);
            const given = held;
            held = word;
            if (given !== undefined && word !== undefined) return given;
            if (word !== undefined) continue;
            if (ended && input.length === 0) return given;
            // The last word is lost too, without an error.
            if (ended && given !== undefined) input.skip(input.length);
            else held = given;
            return undefined;
          }
        },
      };
    },
    encoder: () => words().encoder(),
  };
  assertIncludes(
    faultOf(late, ["one", "two", "three"], { prompt: false }),
    'after 5 bytes, "\\x03one\\x03", ends without an error',
  );
});

Deno.test("verifyFraming() finds an ignored end inside a message", () => {
  const careless = words((input, ended) => {
    const word = takeWord(input, ended);
    if (word === undefined && ended) input.skip(input.length);
    return word;
  });
  assertIncludes(
    faultOf(careless, ["one", "two"]),
    'A stream that ends after 1 bytes, "\\x03", ends without an error',
    "although its last message is cut off",
  );
  /** Takes the length before the word has arrived. */
  const eager = (isPending: boolean): Framing<string> => ({
    ...words(),
    decoder() {
      let length: number | undefined;
      return {
        get pending() {
          return isPending && length !== undefined;
        },
        decode(input) {
          if (length === undefined) {
            length = input.byteAt(0);
            if (length === undefined) return undefined;
            input.skip(1);
          }
          if (input.length < length) return input.need(length);
          const word = input.takeText(length);
          length = undefined;
          return word;
        },
      };
    },
  });
  verifyFraming(eager(true), SENT);
  assertIncludes(
    faultOf(eager(false), SENT),
    'A stream that ends after 1 bytes, "\\x03", ends without an error',
  );
  // Unless that is intended.
  verifyFraming(delimited("---", { trailing: "discard" }), ["a", "bcd"]);
  const even = mapped(lines({ eol: "\r\n" }), {
    decode: (line: string) => line.length % 2 === 0 ? line : undefined,
    encode: (line: string) => line,
  });
  verifyFraming(even, ["no", "okay"]);
  // Or if the bytes belong to no message.
  const spaced = words((input, ended) => {
    if (input.byteAt(0) !== 0x20) return takeWord(input, ended);
    input.skip(1);
    return undefined;
  });
  const encoder = {
    encode: (word: string, output: ByteOutput) => {
      output.writeText("  ");
      spaced.encoder().encode(word, output);
    },
  };
  verifyFraming({ ...spaced, encoder: () => encoder }, SENT);
});

Deno.test("verifyFraming() finds an error that comes before earlier messages", () => {
  const hasty = words((input, ended) => {
    if (input.indexOf(0xff) !== -1) {
      throw new FramingError("Wrong", { code: "malformed" });
    }
    return takeWord(input, ended);
  });
  assertIncludes(
    faultOf(hasty, SENT, { refused: [Uint8Array.of(0xff)] }),
    '"\\xff" is refused before the messages',
  );
});

Deno.test("verifyFraming() finds bytes that are not refused, or refused differently when cut", () => {
  assertIncludes(
    faultOf(words(), SENT, { refused: [bytes("\x01a")] }),
    '"\\x01a" after the messages is not refused: ["a"] was received',
  );
  const wavering = words((input, ended) => {
    if (input.byteAt(0) === 10 && input.length > 3) {
      const code = input.length === 11 ? "malformed" : "too-long";
      throw new FramingError("Wrong", { code, offset: input.offset });
    }
    return takeWord(input, ended);
  });
  assertIncludes(
    faultOf(wavering, SENT, { refused: [bytes("\x0a123456789a")] }),
    "and whole it gives",
  );
});

Deno.test("verifyFraming() finds a limit that is one byte off", () => {
  for (
    const [maxLength, fault] of [
      [7, "is not refused"],
      [9, "is not received"],
    ] as const
  ) {
    assertIncludes(
      faultOf(lines({ maxLength: 8 }), ["a"], {
        limit: { maxLength: maxLength, message: x, larger: lines() },
      }),
      maxLength === 7 ? fault : "cannot be encoded",
    );
    assertIncludes(
      faultOf(
        { ...lines({ maxLength: 8 }), encoder: () => lines().encoder() },
        ["a"],
        { limit: { maxLength, message: x } },
      ),
      fault,
    );
  }
});

Deno.test("verifyFraming() finds a message of maximum length that is received differently", () => {
  const limit = { maxLength: 9, message: x };
  const short = mapped(words(), {
    decode: (word) => word.slice(0, 8),
    encode: (word: string) => word,
  });
  assertIncludes(
    faultOf(short, SENT, { limit }),
    'which is the limit, is not received, cut at no place: ["xxxxxxxx"]',
  );
  verifyFraming(short, SENT, { limit, received: SENT });
});

Deno.test("verifyFraming() finds an encoder whose state changes with a refused message", () => {
  const counted = (isEarly: boolean): Framing<string> => ({
    decoder: () => {
      const decoder = words().decoder();
      return {
        decode: (input, ended) => decoder.decode(input, ended)?.slice(1),
      };
    },
    encoder() {
      let count = 0;
      const { encode } = words().encoder();
      return {
        encode(word, output) {
          if (isEarly) count++;
          encode(`${isEarly ? count : count + 1}${word}`, output);
          if (!isEarly) count++;
        },
      };
    },
  });
  const limit = { maxLength: 8, message: x };
  verifyFraming(counted(false), SENT, { limit });
  assertIncludes(
    faultOf(counted(true), SENT, { limit }),
    'is encoded as "\\x092xxxxxxxx", and alone as "\\x091xxxxxxxx"',
    "refused has changed the encoder's state",
  );
});

Deno.test("verifyFraming() finds a message made up when the stream ends inside one", () => {
  const inventing = words((input, ended) =>
    takeWord(input, ended) ??
      (ended && input.length > 0 ? input.takeText(1) : undefined)
  );
  assertIncludes(
    faultOf(inventing, ["one", "two"]),
    'A stream that ends after 2 bytes, "\\x03o", gives ["\\u0003", "o"]',
    "not the messages that are whole, []",
  );
  const failing = words((input, ended) => {
    if (ended && input.length === 2) throw new Error("No way");
    return takeWord(input, ended);
  });
  assertIncludes(
    faultOf(failing, ["one", "two"]),
    "A stream that ends after 2 bytes",
    "throws Error: No way",
  );
});

Deno.test("verifyFraming() finds an error that is not the peer's", () => {
  const numbers = mapped(lines(), {
    decode: (line) => BigInt(line),
    encode: (number: bigint) => `${number}`,
  });
  const fault = assertThrows(() => verifyFraming(numbers, [1n, 22n]), Error);
  assertIncludes(fault.message, "SyntaxError", "isAllowed");
  assert(fault.cause instanceof SyntaxError);
  verifyFraming(numbers, [1n, 22n], {
    isAllowed: (error) =>
      error instanceof FramingError || error instanceof SyntaxError,
  });
});

Deno.test("verifyFraming() never hangs", () => {
  const endless = words(() => "message");
  assertIncludes(faultOf(endless, ["one"]), "messages without taking a byte");
  const looking = words((input, ended) => {
    if (input.byteAt(0) === 0xff) { while (input.byteAt(0) === 0xff); }
    return takeWord(input, ended);
  });
  assertIncludes(
    faultOf(looking, SENT, { rounds: 5000 }),
    "in one call",
  );
});

Deno.test("verifyFraming() reports that unframed() gives a message for each read", () => {
  assertIncludes(
    faultOf(unframed(), ["ab", "c"]),
    '"abc", whole, gives message 0 as "abc", which was "ab"',
  );
});

Deno.test("verifyFraming() repeats a run with the same seed", () => {
  // Wrong for two consecutive reads of three bytes.
  const odd = (): Framing<string> => ({
    ...words(),
    decoder() {
      let ends: number[] = [];
      return {
        decode(input, ended) {
          const end = input.offset + input.length;
          if (ends.at(-1) !== end) ends = [...ends.slice(-2), end];
          const [a = 0, b = 0, c = 0] = ends;
          if (b - a === 3 && c - b === 3 && !ended) input.skip(1);
          return takeWord(input, ended);
        },
      };
    },
  });
  const messages = Array.from({ length: 30 }, (_, i) => x(i % 8));
  assertEquals(
    faultOf(odd(), messages, { seed: 7 }),
    faultOf(odd(), messages, { seed: 7 }),
  );
});

Deno.test("verifyFraming() refuses arguments that it cannot verify", () => {
  assertThrows(() => verifyFraming(lines(), []), TypeError, "without messages");
  assertThrows(
    () => verifyFraming(lines(), ["a"], { received: [] }),
    TypeError,
    "as many messages",
  );
  assertThrows(
    () => verifyFraming(lines(), ["a"], { rounds: 0 }),
    RangeError,
    "rounds",
  );
  assertThrows(
    () => verifyFraming(lines(), ["a"], { seed: 0.5 }),
    RangeError,
    "seed",
  );
  assertThrows(
    () =>
      verifyFraming(lines(), ["a"], { limit: { maxLength: 0, message: x } }),
    RangeError,
    "limit.maxLength",
  );
  const limit = { maxLength: 1, message: x };
  const wrongs: [object, message: string][] = [
    [{ limit: { maxLength: 1 } }, "limit.message"],
    [{ limit: { ...limit, larger: lines } }, "encoder"],
    [{ prompt: "no" }, "prompt"],
    [{ isAllowed: true }, "isAllowed"],
  ];
  for (const [options, message] of wrongs) {
    assertThrows(
      () => verifyFraming(lines(), ["a"], options),
      TypeError,
      message,
    );
  }
  assertThrows(() => verifyFraming({} as never, ["a"]), TypeError, "framing");
  for (const wrong of [undefined, null, "a", new Set(["a"])]) {
    assertThrows(
      () => verifyFraming(lines(), wrong as never),
      TypeError,
      "messages must be an array",
    );
  }
  for (const name of ["received", "refused"]) {
    assertThrows(
      () => verifyFraming(lines(), ["a"], { [name]: "a" }),
      TypeError,
      `${name} must be an array`,
    );
  }
});

Deno.test("verifyFraming() finds an encoder that changes the message", () => {
  const fault = faultOf({
    ...unframed(),
    encoder: () => ({
      encode(message: Uint8Array, output) {
        output.writeByte(message.length);
        message.fill(0);
      },
    }),
  }, [bytes("one")]);
  assert(fault.includes("was changed as it was encoded"), fault);

  const emptying = {
    decoder: (): Decoder<string[]> => ({ decode: () => undefined }),
    encoder: () => ({
      encode(words: string[], output: ByteOutput) {
        while (words.length > 0) output.writeText(`${words.shift()} `);
        output.writeText("\n");
      },
    }),
  };
  assertIncludes(
    faultOf(emptying, [["one", "two"]]),
    'message 0, ["one","two"] was changed as it was encoded',
  );
});

Deno.test("verifyFraming() finds frames that differ when they are encoded one by one", () => {
  let encoders = 0;
  const fault = faultOf({
    ...words(),
    encoder: () => {
      const isThird = ++encoders === 3;
      return {
        encode(word: string, output) {
          output.writeByte(isThird ? 0 : word.length);
          output.writeText(isThird ? "" : word);
        },
      };
    },
  }, ["one", "two"]);
  assert(fault.includes("one by one"), fault);
});

Deno.test("verifyFraming() reports a thrown value without a string form", () => {
  const refuse = () => {
    throw Object.create(null);
  };
  const decoding = faultOf(
    mapped(lines(), { decode: refuse, encode: (line: string) => line }),
    ["one"],
  );
  assert(decoding.includes("gives 0 of 1 messages"), decoding);
  const encoding = faultOf(
    mapped(lines(), { decode: (line) => line, encode: refuse }),
    ["one"],
  );
  assert(encoding.includes("cannot be encoded"), encoding);
});
