// deno-lint-ignore-file no-console
// @ts-check
/**
 * What the subjects in JavaScript share: the messages, the tally that proves
 * they were received, and the talk with the driver.
 *
 * A subject is started as `program OPERATION MESSAGE_LENGTH CHUNK_LENGTH`. Its
 * first line is its port (0 if it is a client, `unavailable REASON` if it
 * cannot run). Then each line `PORT COUNT` is one run, answered by the line
 * `COUNT BYTES CHECKSUM`. It ends when its input does.
 */

import process from "node:process";
import { createInterface } from "node:readline";

/** How many different letters the messages are made of. */
export const LETTERS = 26;

/**
 * Message number `index`: letters that differ from one message to the next.
 *
 * @param {number} index
 * @param {number} length
 * @param {number} [letters]
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function makeMessage(index, length, letters = LETTERS) {
  const message = new Uint8Array(length);
  for (let at = 0; at < length; at++) {
    message[at] = 97 + (index * 5 + at) % letters;
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
 * The messages of one block.
 *
 * @param {number} length
 * @param {number} [letters]
 * @returns {Uint8Array<ArrayBuffer>[]}
 */
export function makeMessages(length, letters = LETTERS) {
  return Array.from(
    { length: messagesInBlock(length) },
    (_, index) => makeMessage(index, length, letters),
  );
}

const NOTHING = new Uint8Array();

/**
 * Message number `index`, where the messages repeat for ever.
 *
 * @param {Uint8Array[]} messages
 * @param {number} index
 * @returns {Uint8Array}
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
 * @typedef {(messageLength: number, chunkLength: number) => Run | number | Promise<Run | number>} Operation
 */

/**
 * Answers the driver until it closes our input.
 *
 * @param {Record<string, Operation>} operations
 */
export async function answerDriver(operations) {
  const [name = "", messageLength, chunkLength] = process.argv.slice(2);
  const operation = operations[name];
  if (operation === undefined) {
    throw new TypeError(`Unknown operation: ${name}`);
  }
  let prepared;
  try {
    prepared = await operation(Number(messageLength), Number(chunkLength));
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
