// deno-lint-ignore-file no-console
// @ts-check
/**
 * What the subjects in JavaScript share: the messages, the tally that proves
 * they were received, and the talk with the driver.
 *
 * A subject is started as `program OPERATION MESSAGE_LENGTH CHUNK_LENGTH KIND`.
 * Its first line is its port (0 if it is a client, `unavailable REASON` if it
 * cannot run). Then each line `PORT COUNT` is one run, answered by the line
 * `COUNT BYTES CHECKSUM`. It ends when its input does.
 */

import process from "node:process";
import { createInterface } from "node:readline";

/**
 * What messages are made of: letters that differ from one message to the next;
 * the same letter throughout; letters, from half the length to one and a half;
 * text with an accent here and there; Korean text.
 *
 * @typedef {"letters" | "same" | "varied" | "latin" | "korean"} Kind
 */

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** @type {Record<Kind, string>} */
const ALPHABETS = {
  letters: LETTERS,
  same: "a",
  varied: LETTERS,
  latin: "le café à la crème est déjà prêt ",
  korean: "다람쥐 헌 쳇바퀴에 타고파 ",
};

/**
 * Whether a byte is one of a letter's that are not its first.
 *
 * @param {number | undefined} byte
 */
function continues(byte = 0) {
  return (byte & 0xc0) === 0x80;
}

/**
 * Message number `index`, of `length` bytes or about as many.
 *
 * @param {number} index
 * @param {number} length
 * @param {Kind} [kind]
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function makeMessage(index, length, kind = "letters") {
  const alphabet = ALPHABETS[kind];
  const first = index * 5 % alphabet.length;
  const text = new TextEncoder().encode(
    alphabet.slice(first) + alphabet.slice(0, first),
  );
  const message = new Uint8Array(
    kind === "varied" ? Math.ceil(length / 2) + (index * 37) % length : length,
  );
  for (let at = 0; at < message.length; at += text.length) {
    message.set(text.subarray(0, message.length - at), at);
  }
  if (continues(text[message.length % text.length])) {
    // The last letter is cut off, and others of one byte take its place.
    let end = message.length - 1;
    while (continues(message[end])) end--;
    message.fill(97, end);
  }
  return message;
}

/**
 * How many messages make a block of about 1 MiB, after which they repeat.
 *
 * @param {number} length
 * @returns {number}
 */
export function messagesInBlock(length) {
  return Math.max(1, Math.floor(2 ** 20 / length));
}

/**
 * The messages of one block. Those of the same bytes are one and the same, as a program
 * sends what it has just made: of 16,384 apart, a sender waited for memory half of
 * its time.
 *
 * @param {number} length
 * @param {Kind} [kind]
 * @returns {Uint8Array<ArrayBuffer>[]}
 */
export function makeMessages(length, kind = "letters") {
  const count = messagesInBlock(length);
  const repeatsAfter = kind === "varied" ? count : ALPHABETS[kind].length;
  const different = Array.from(
    { length: Math.min(count, repeatsAfter) },
    (_, index) => makeMessage(index, length, kind),
  );
  return Array.from(
    { length: count },
    (_, index) => messageAt(different, index),
  );
}

/**
 * The messages of one block, each with a line feed.
 *
 * @param {number} length
 * @param {Kind} [kind]
 * @returns {Uint8Array<ArrayBuffer>[]}
 */
export function makeFrames(length, kind) {
  /** @type {Map<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>} */
  const frames = new Map();
  return makeMessages(length, kind).map((message) => {
    const frame = frames.get(message) ??
      makeBlock([message], new Uint8Array([10]));
    frames.set(message, frame);
    return frame;
  });
}

const NOTHING = new Uint8Array();

/**
 * Message number `index`, where the messages repeat for ever.
 *
 * @param {Uint8Array<ArrayBuffer>[]} messages
 * @param {number} index
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function messageAt(messages, index) {
  return messages[index % messages.length] ?? NOTHING;
}

/**
 * The messages of one block as bytes, each with a header and a delimiter.
 *
 * @param {Uint8Array[]} messages
 * @param {Uint8Array} delimiter
 * @param {(message: Uint8Array) => Uint8Array} [header]
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function makeBlock(
  messages,
  delimiter,
  header = () => new Uint8Array(),
) {
  const parts = messages.flatMap((
    message,
  ) => [header(message), message, delimiter]);
  const block = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    block.set(part, at);
    at += part.length;
  }
  return block;
}

/** Proves which messages came: how many, how long, in which order, with which ends. */
export class Tally {
  /**
   * Whether the bytes are looked at as well. They are in the first run, which is
   * not measured: looking at them takes longer than some subjects do.
   */
  static readsContent = true;
  count = 0;
  bytes = 0;
  checksum = 0;
  /** What {@linkcode addLookedAt} saw; kept, so that the look is not optimized away. */
  seen = 0;

  /**
   * Adds a message of which four bytes are looked at, as a parser would.
   *
   * @param {Uint8Array} message
   */
  addLookedAt(message) {
    this.add(message);
    for (let at = 0; at < 4; at++) this.seen ^= message[at] ?? 0;
  }

  /** @param {Uint8Array} message */
  add(message) {
    const { length } = message;
    this.count++;
    this.bytes += length;
    if (Tally.readsContent) {
      this.#mix((message[0] ?? 0) + (message[length - 1] ?? 0));
    }
  }

  /** @param {string} message */
  addText(message) {
    const { length } = message;
    this.count++;
    this.bytes += length;
    if (Tally.readsContent) {
      this.#mix(message.charCodeAt(0) + message.charCodeAt(length - 1));
    }
  }

  /** @param {number} ends */
  #mix(ends) {
    this.checksum = (Math.imul(this.checksum, 31) + ends) | 0;
  }

  toString() {
    const checksum = Tally.readsContent ? this.checksum >>> 0 : "-";
    return `${this.count} ${this.bytes} ${checksum}`;
  }
}

/**
 * One run of a client: `count` messages, over the driver's far side at `port`.
 *
 * @typedef {(port: number, count: number) => Tally | Promise<Tally>} Run
 */

/**
 * Prepares an operation: gives a client's run, or the port of a server.
 *
 * @typedef {(messageLength: number, chunkLength: number, kind: Kind) => Run | number | Promise<Run | number>} Operation
 */

/** @type {(word: string) => word is Kind} */
export function isKind(word) {
  return Object.hasOwn(ALPHABETS, word);
}

/**
 * Answers the driver until it closes our input.
 *
 * @param {Record<string, Operation>} operations
 */
export async function answerDriver(operations) {
  const [name = "", messageLength, chunkLength, kind = "letters"] = process.argv
    .slice(2);
  const operation = operations[name];
  if (operation === undefined) {
    throw new TypeError(`Unknown operation: ${name}`);
  }
  if (!isKind(kind)) throw new TypeError(`Unknown kind of messages: ${kind}`);
  let prepared;
  try {
    prepared = await operation(
      Number(messageLength),
      Number(chunkLength),
      kind,
    );
  } catch (error) {
    console.log(
      `unavailable ${error instanceof Error ? error.message : error}`,
    );
    process.exit();
  }
  console.log(typeof prepared === "number" ? prepared : 0);
  for await (const line of createInterface({ input: process.stdin })) {
    const [port, count] = line.split(" ").map(Number);
    if (typeof prepared === "function") {
      console.log(String(await prepared(port ?? 0, count ?? 0)));
      Tally.readsContent = false;
    }
  }
  process.exit();
}
