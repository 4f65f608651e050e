/** What the two ends of a link send each other, and what they tell about it. */
import { lengthPrefixed } from "../framing.ts";
import {
  comparable,
  FAULT_FRAMINGS,
  type FaultFraming,
  framingCase,
} from "./fault_workloads.ts";

// Many packets each.
const LARGE_BYTES = 20_000;

const largeMessage = (number: number) =>
  new TextEncoder().encode(
    `${number}:`.repeat(LARGE_BYTES).slice(0, LARGE_BYTES),
  );

/** Every framing of the faults, and one whose messages are large. */
export const SOURCES: readonly FaultFraming[] = [
  ...FAULT_FRAMINGS,
  framingCase(
    "lengthPrefixed, 20,000 bytes",
    lengthPrefixed(),
    largeMessage,
  ),
];

/** How many clients a broadcast waits for. */
export const BROADCAST_CLIENTS = 3;

/** What ends a connection whose peer has gone, the same at both ends. */
export interface Limits {
  readonly idleTimeout?: number;
  readonly sendTimeout?: number;
  readonly keepAlive?: boolean;
}

/** What the server is told, as JSON in its first argument. */
export interface NetemServerOptions {
  readonly hostname: string;
  readonly limits: Limits;
  /** Messages of a broadcast. */
  readonly messages: number;
}

/** Where the server listens, by the place of the framing in {@linkcode SOURCES}. */
export interface NetemServerPorts {
  readonly echo: number[];
  readonly broadcast: number[];
  /** Where each second line is answered, both at once. */
  readonly pairs: number;
}

/** What the server has seen. */
export interface NetemServerState {
  readonly connections: number;
  /** Messages of the echo and the request workload, and those not the next one. */
  readonly handled: number;
  readonly wrong: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** What the client is told, as JSON in its first argument. */
export interface NetemClientOptions {
  /**
   * `run` sends rounds of messages for some seconds; `cut` sends without an end,
   * until it fails, and `latency` measures.
   */
  readonly task: "run" | "cut" | "latency";
  readonly hostname: string;
  readonly ports: NetemServerPorts;
  readonly limits: Limits;
  readonly seconds: number;
  /** Messages that a connection carries in a round. */
  readonly messages: number;
}

/** What the client has done. Its last line; those before tell `arrived` alone. */
export interface NetemResult {
  readonly arrived: number;
  readonly sent: number;
  /** Messages that were not the next one. */
  readonly wrong: number;
  /** Connections, and those that did not end. */
  readonly runs: number;
  readonly unsettled: string[];
  readonly errors: Readonly<Record<string, number>>;
  /** The longest time in which nothing arrived, in milliseconds. */
  readonly longestSilence: number;
  readonly seconds: number;
  /** Milliseconds that a request took, with nothing else under way. */
  readonly roundTrip: number;
  readonly peakMemory: number;
}

/** What {@linkcode NetemClientOptions.task} `latency` measured, in milliseconds. */
export interface NetemLatency {
  readonly requests: number;
  readonly request: number;
  /** A bare write and read. */
  readonly bare: number;
  /** Two writes, and then the answer. */
  readonly withNoDelay: number;
  readonly withoutNoDelay: number;
}

/** How many messages a run has, so that those of each framing last about as long. */
export function runLength(source: FaultFraming, messages: number): number {
  return source === SOURCES.at(-1) ? Math.ceil(messages / 4) : messages;
}

/** Compares what arrives with what must come next. */
export class Arrivals {
  readonly #source: FaultFraming;
  #next = 0;
  // What is still to come of a message, where reads cut them.
  #rest = "";
  wrong = 0;

  constructor(source: FaultFraming) {
    this.#source = source;
  }

  /** How many whole messages have come. */
  get count(): number {
    return this.#rest === "" ? this.#next : this.#next - 1;
  }

  add(message: unknown): void {
    if (this.#source.name === "unframed") {
      this.#addPart(`${comparable(message)}`);
    } else if (textOf(message) !== textOf(this.#source.message(this.#next++))) {
      this.wrong++;
    }
  }

  #addPart(part: string): void {
    while (this.#rest.length < part.length) {
      this.#rest += this.#source.message(this.#next++);
    }
    if (!this.#rest.startsWith(part)) this.wrong++;
    this.#rest = this.#rest.slice(part.length);
  }
}

function textOf(message: unknown): string {
  return JSON.stringify(comparable(message));
}

/** Counts one more of `key`. */
export function countOne(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}
