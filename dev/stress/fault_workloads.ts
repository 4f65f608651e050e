/** Workloads that run through the fault proxy, and their assertions. */
import { assert, assertEquals } from "@std/assert";
import { loopback } from "../../connection/_testing.ts";
import { broadcast as broadcastMessage } from "../../connection/broadcast.ts";
import { connect } from "../../client/connect.ts";
import type { Connection } from "../../connection/connection.ts";
import {
  asJson,
  asText,
  delimited,
  fixedLength,
  type Framing,
  lengthPrefixed,
  lines,
  mapped,
  netstrings,
  unframed,
} from "../../framing.ts";
import { serve } from "../../server/serve.ts";
import { type Fault, FaultProxy } from "./fault_proxy.ts";
import { settlement } from "./settling.ts";

/** A framing, with the messages that a workload sends in it. */
export interface FaultFraming {
  readonly name: string;
  readonly framing: Framing<unknown, unknown>;
  message(number: number): unknown;
}

const encoder = new TextEncoder();

/** A text message for each number, with different lengths. */
function textMessage(number: number): string {
  return `${number}:${"x".repeat(number * 7 % 23)}`;
}

/** A framing, and its message of each number. */
function framingCase<In, Out>(
  name: string,
  framing: Framing<In, Out>,
  message: (number: number) => Out,
): FaultFraming {
  return {
    name,
    // All messages come from `message`, so their type is correct.
    framing: framing as Framing<unknown, never> as Framing<unknown, unknown>,
    message,
  };
}

const bytesMessage = (number: number) => encoder.encode(textMessage(number));

/** Every framing. A remainder is an error, so that it does not count as a message. */
export const FAULT_FRAMINGS: readonly FaultFraming[] = [
  framingCase("delimited", delimited("\n", { trailing: "error" }), textMessage),
  framingCase(
    "delimited by several",
    delimited(["--=", "+"], { trailing: "error" }),
    bytesMessage,
  ),
  framingCase(
    "delimited, suffix",
    delimited("\r\n", { trailing: "error", disposition: "suffix" }),
    (number) => `${textMessage(number)}\r\n`,
  ),
  framingCase(
    "lines",
    lines({ eol: "\r\n", trailing: "error" }),
    (number) => `${textMessage(number)}é`,
  ),
  framingCase("lengthPrefixed", lengthPrefixed(), bytesMessage),
  framingCase(
    "lengthPrefixed, varint",
    lengthPrefixed({ fieldSize: "varint" }),
    textMessage,
  ),
  framingCase(
    "lengthPrefixed, whole frames",
    lengthPrefixed({ fieldSize: 2, littleEndian: true, strip: 0 }),
    (number) => {
      const frame = encoder.encode(`..${textMessage(number)}`);
      frame.set([frame.length - 2, 0]);
      return frame;
    },
  ),
  framingCase(
    "fixedLength",
    fixedLength(9),
    (number) => String(number).padStart(9, "."),
  ),
  framingCase("netstrings", netstrings(), bytesMessage),
  framingCase("unframed", unframed(), textMessage),
  framingCase(
    "a framing of one's own",
    {
      decoder: () => ({
        decode(input) {
          const length = input.byteAt(0) ?? Infinity;
          if (input.length <= length) return undefined;
          input.skip(1);
          return input.takeText(length);
        },
      }),
      encoder: () => ({
        encode(message, output) {
          const field = output.reserve(1);
          output.writeText(message);
          output.setUint(field, output.length - 1, 1);
        },
      }),
    } satisfies Framing<string>,
    textMessage,
  ),
  framingCase(
    "mapped",
    mapped(lines({ trailing: "error" }), {
      decode: Number,
      encode: (number: number) => String(number),
    }),
    (number) => number * 1001,
  ),
  framingCase("asText", asText(netstrings()), textMessage),
  framingCase(
    "asJson",
    asJson(delimited("\n", { trailing: "error" })),
    (number) => ({ number, text: textMessage(number) }),
  ),
];

/** A fault, by name. */
export interface NamedFault {
  readonly name: string;
  readonly toServer?: Fault;
  readonly toClient?: Fault;
  /** Whether messages may be missing at the end. */
  readonly loses: boolean;
}

/** Faults that delay and cut, but lose nothing. */
export const HARMLESS_FAULTS: readonly NamedFault[] = [
  { name: "none", loses: false },
  bothWays("cut at every byte", { segmentLength: 1 }),
  bothWays("cut at every third byte", { segmentLength: 3 }),
  bothWays("delay", { segmentLength: 100, delay: 1 }),
  bothWays("throttle", { segmentLength: 50, bytesPerSecond: 50_000 }),
  ...[0, 1, 37].flatMap(stallsAt),
];

function bothWays(name: string, fault: Fault): NamedFault {
  return { name, toServer: fault, toClient: fault, loses: false };
}

/** The same fault in each direction. */
function eitherWay(
  what: string,
  place: number,
  fault: Fault,
  loses: boolean,
): NamedFault[] {
  return [
    { name: `${what} to the server at byte ${place}`, toServer: fault, loses },
    { name: `${what} to the client at byte ${place}`, toClient: fault, loses },
  ];
}

/** The faults that stop a connection for a while after `place` bytes. */
export function stallsAt(place: number): NamedFault[] {
  return eitherWay("stall", place, { stallAt: place }, false);
}

/** The faults that end a connection after `place` bytes. */
export function faultsAt(place: number): NamedFault[] {
  return [
    ...eitherWay("reset", place, { resetAt: place }, true),
    ...eitherWay("half-close", place, { halfCloseAt: place }, true),
  ];
}

/** The counts of some runs. */
export interface Tally {
  /** Runs of a workload. */
  runs: number;
  /** Sent messages, and those that arrived. */
  sent: number;
  delivered: number;
}

/** The names of the workloads. */
export const WORKLOADS: readonly Workload[] = ["echo", "request", "broadcast"];

/** A workload. */
export type Workload = "echo" | "request" | "broadcast";

const MESSAGES = 12;

/**
 * Runs a workload through a fault. Asserts that no acknowledged message is lost, none
 * arrives twice, and everything settles.
 */
export async function runThroughFault(
  workload: Workload,
  framing: FaultFraming,
  fault: NamedFault,
  tally: Tally,
): Promise<void> {
  const run = { echo, request, broadcast }[workload];
  const name = `${workload} over ${framing.name} with ${fault.name}`;
  // If reads cut answers anywhere, an answer cannot be matched to a request.
  if (workload === "request" && framing.name === "unframed") return;
  try {
    await run(framing, fault, tally);
    tally.runs++;
  } catch (cause) {
    throw new Error(`Failed: ${name}`, { cause });
  }
}

/** Connects, unless the fault comes first. */
async function join(
  { hostname, port }: FaultProxy,
  { framing }: FaultFraming,
  fault: NamedFault,
): Promise<AnyConnection | undefined> {
  const result = await settlement(
    connect({ hostname, port, framing }),
    "connect()",
  );
  if (result.status === "fulfilled") return result.value;
  checkEnds(fault, [result], []);
}

type AnyConnection = Connection<unknown, unknown>;

/** A server, and a proxy in front of it. */
async function serverThrough(
  { framing }: FaultFraming,
  { toServer, toClient }: NamedFault,
  handler: (connection: AnyConnection) => Promise<void>,
) {
  const errors: unknown[] = [];
  const server = serve({
    hostname: loopback(),
    port: 0,
    framing,
    onError: (error) => void errors.push(error),
  }, handler);
  const proxy = await FaultProxy.listen({
    ...server.addr,
    toServer,
    toClient,
  });
  proxy.stalled.then(async () => {
    // Everything else that can settle has settled.
    for (let turn = 0; turn < 10; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    proxy.resume();
  });
  return {
    proxy,
    server,
    errors,
    async [Symbol.asyncDispose]() {
      const ended = await settlement(
        server.shutdown({ timeout: 5000 }),
        "shutdown()",
      );
      assertEquals(ended.status, "fulfilled");
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** The client sends everything, and ends; the server sends each message back. */
async function echo(
  source: FaultFraming,
  fault: NamedFault,
  tally: Tally,
): Promise<void> {
  const handled: unknown[] = [];
  await using relayed = await serverThrough(
    source,
    fault,
    async (connection) => {
      for await (const message of connection) {
        handled.push(message);
        await connection.send(message);
      }
    },
  );
  const sent: unknown[] = [];
  const connection = await join(relayed.proxy, source, fault);
  if (connection === undefined) return;
  const received: unknown[] = [];
  const ends = [
    (async () => {
      for (let number = 0; number < MESSAGES; number++) {
        const message = source.message(number);
        sent.push(message);
        await connection.send(message);
      }
      await connection.closeWrite();
    })(),
    (async () => {
      for await (const message of connection) received.push(message);
    })(),
  ].map((promise, index) => settlement(promise, `Part ${index} of echo`));
  const results = await Promise.all(ends);
  results.push(await settlement(connection.close(), "close()"));
  const closed = await settlement(connection.closed, "closed");
  assertBegins(source, received, handled, "received of those handled");
  assertBegins(source, handled, sent, "handled of those sent");
  checkEnds(fault, [...results, closed], relayed.errors);
  if (!fault.loses) assertSame(source, received, sent);
  count(tally, source, sent, received);
}

/** The client sends requests, some one by one and some together. */
async function request(
  source: FaultFraming,
  fault: NamedFault,
  tally: Tally,
): Promise<void> {
  const handled: unknown[] = [];
  await using relayed = await serverThrough(
    source,
    fault,
    async (connection) => {
      for await (const message of connection) {
        handled.push(message);
        await connection.send(message);
      }
    },
  );
  const connection = await join(relayed.proxy, source, fault);
  if (connection === undefined) return;
  const questions = Array.from(
    { length: MESSAGES },
    (_, number) => source.message(number),
  );
  const answers: PromiseSettledResult<unknown>[] = [];
  for (const question of questions.slice(0, 4)) {
    answers.push(await settlement(connection.request(question), "request()"));
  }
  const atOnce = questions.slice(4).map((question) =>
    settlement(connection.request(question), "request()")
  );
  answers.push(...await Promise.all(atOnce));
  const closing = await settlement(connection.close(), "close()");
  const closed = await settlement(connection.closed, "closed");
  const acknowledged = answers.flatMap((answer) =>
    answer.status === "fulfilled" ? [answer.value] : []
  );
  assertBegins(source, acknowledged, handled, "answered of those handled");
  assertBegins(source, handled, questions, "handled of those asked");
  for (const [index, answer] of answers.entries()) {
    if (answer.status === "rejected") continue;
    assertEquals(comparable(answer.value), comparable(questions[index]));
  }
  checkEnds(fault, [...answers, closing, closed], relayed.errors);
  if (!fault.loses) assertEquals(acknowledged.length, questions.length);
  count(tally, source, questions, acknowledged);
}

/** The server sends everything to three clients, one of them through the fault. */
async function broadcast(
  source: FaultFraming,
  fault: NamedFault,
  tally: Tally,
): Promise<void> {
  const joined: AnyConnection[] = [];
  const sent = messages(source);
  const wanted = asItems(source, sent).length;
  let onJoin = () => {};
  await using relayed = await serverThrough(
    source,
    fault,
    async (connection) => {
      joined.push(connection);
      onJoin();
      // The handler lasts until the client ends.
      for await (const _ of connection);
    },
  );
  const { server, proxy } = relayed;
  const { hostname, port } = server.addr;
  const { framing } = source;
  const fast = [
    await connect({ hostname, port, framing }),
    await connect({ hostname, port, framing }),
  ];
  const faulty = await join(proxy, source, fault);
  const connections = faulty === undefined ? fast : [...fast, faulty];
  // A connection that is cut immediately may never reach the server.
  const needed = fault.loses ? fast.length : connections.length;
  const allJoined = new Promise<void>((resolve) => {
    onJoin = () => joined.length >= needed && resolve();
    onJoin();
  });
  await settlement(allJoined, "The join");
  const sending: Promise<PromiseSettledResult<unknown>>[] = [];
  const sendAll = (receivers: AnyConnection[]) => {
    for (const message of sent) {
      const promise = broadcastMessage(receivers, message);
      sending.push(settlement(promise, "broadcast()"));
    }
  };
  sendAll(joined);
  // A client that connects later gets the messages too; it was added just before.
  onJoin = () => sendAll(joined.slice(-1));
  const receive = async (connection: AnyConnection) => {
    const received: unknown[] = [];
    let error: unknown;
    try {
      for await (const message of connection) {
        received.push(message);
        if (asItems(source, received).length === wanted) break;
      }
    } catch (reason) {
      error = reason;
    }
    return { received, error };
  };
  const results = await Promise.all(
    connections.map((each) => settlement(receive(each), "A receiver")),
  );
  for (const [index, result] of results.entries()) {
    assert(result.status === "fulfilled");
    const { received, error } = result.value;
    assertBegins(source, received, sent, "received of those sent");
    const mayLose = index === fast.length && fault.loses;
    if (!mayLose) {
      assertEquals(error, undefined);
      assertSame(source, received, sent);
    }
    count(tally, source, sent, received);
  }
  for (const { status } of await Promise.all(sending)) {
    assertEquals(status, "fulfilled");
  }
  const ends = await Promise.all(connections.flatMap((connection) => [
    settlement(connection.close(), "close()"),
    settlement(connection.closed, "closed"),
  ]));
  checkEnds(fault, ends, relayed.errors);
}

function messages(source: FaultFraming): unknown[] {
  return Array.from({ length: MESSAGES }, (_, i) => source.message(i));
}

function count(
  tally: Tally,
  source: FaultFraming,
  sent: unknown[],
  delivered: unknown[],
): void {
  tally.sent += asItems(source, sent).length;
  tally.delivered += asItems(source, delivered).length;
}

/** Asserts that the fault explains the errors. */
function checkEnds(
  fault: NamedFault,
  results: PromiseSettledResult<unknown>[],
  serverErrors: unknown[],
): void {
  const errors = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason] : []
  ).concat(serverErrors);
  for (const error of errors) {
    const isExplained = fault.loses && error instanceof Error &&
      EXPLAINED.includes(error.name);
    if (!isExplained) throw error;
  }
}

/** By name, because system errors do not have a class in every runtime. */
const EXPLAINED = [
  "BrokenPipe",
  "ConnectionAborted",
  "ConnectionReset",
  "FramingError",
  "InvalidStateError",
  "NotConnected",
  "UnexpectedEof",
];

function assertBegins(
  source: FaultFraming,
  part: unknown[],
  whole: unknown[],
  what: string,
): void {
  const items = asItems(source, part);
  const expected = asItems(source, whole).slice(0, items.length);
  assertEquals(items, expected, `Not the first ones in order: ${what}`);
}

function assertSame(
  source: FaultFraming,
  part: unknown[],
  whole: unknown[],
): void {
  assertEquals(asItems(source, part), asItems(source, whole));
}

/**
 * The values that must be equal on both sides: messages, or bytes if there are no
 * messages.
 */
function asItems(source: FaultFraming, messages: unknown[]): unknown[] {
  const items = messages.map(comparable);
  return source.name === "unframed" ? [...items.join("")] : items;
}

/** A message in a comparable form. */
function comparable(message: unknown): unknown {
  return message instanceof Uint8Array
    ? new TextDecoder().decode(message)
    : message;
}
