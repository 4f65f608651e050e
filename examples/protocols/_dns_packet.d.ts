/**
 * The types of what `dns.ts` uses of `dns-packet`, which brings none. Those of
 * `@types/dns-packet` would bring other types of Node for all files that are checked with it.
 *
 * @module
 */
import type { Buffer } from "node:buffer";

/** A question that is to be sent. */
export interface Query {
  id: number;
  flags: number;
  questions: { type: "A"; name: string }[];
}

/** What a server knows of a name. Of the type "A", `data` is an address as text. */
export interface Answer {
  type: string;
  data?: unknown;
}

/** A message that was received. */
export interface Packet {
  type: "query" | "response";
  flags: number;
  answers: Answer[];
}

/** Asks the server to ask others. */
export const RECURSION_DESIRED: number;

export function encode(query: Query): Buffer<ArrayBuffer>;

export function decode(bytes: Buffer): Packet;
export namespace decode {
  /** How many bytes the last message had, as its fields say. */
  let bytes: number;
}
