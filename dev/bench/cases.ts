/**
 * What is measured, and compared with what.
 *
 * To add a peer, add an operation to its program, a line to {@linkcode SUBJECTS}, and
 * its name to the cases that it takes part in.
 */

import type { Kind } from "./peers/subject.mjs";
import type { ProgramName } from "./programs.ts";

/** One operation of one program. */
export interface Subject {
  label: string;
  /** It does not look for messages, so only its bytes are checked. */
  isFloor?: true;
  /** The operation of 0.1 to compare with, if it has another name. */
  operationOf01?: string;
}

/** All subjects, by program and operation. */
export const SUBJECTS = {
  "framed/receive-batches": { label: "@framed/tcp: batches()" },
  "framed/receive-counting": {
    label: "@framed/tcp: batches(), counting",
    operationOf01: "receive-batches",
  },
  "framed/receive-counting-prefixed": {
    label: "@framed/tcp: lengthPrefixed(), batches(), counting",
    operationOf01: "receive-prefixed",
  },
  "framed/receive-headers-looked-at": {
    label: "@framed/tcp: batches(), four bytes of each looked at by uintAt()",
    operationOf01: "receive-looked-at",
  },
  "framed/receive-places-looked-at": {
    label: "@framed/tcp: batches(), four bytes of each looked at by byteAt()",
    operationOf01: "receive-looked-at",
  },
  "framed/receive-batch-text": {
    label: "@framed/tcp: lines(), batches(), allTexts()",
    operationOf01: "receive-text",
  },
  "framed/echo-forward": {
    label: "@framed/tcp: batches(), forward()",
    operationOf01: "echo-batches",
  },
  "framed/receive-looked-at": {
    label: "@framed/tcp: batches(), four bytes of each looked at",
  },
  "framed/receive-prefixed": {
    label: "@framed/tcp: lengthPrefixed(), batches()",
  },
  "framed/receive-counting-tls": {
    label: "@framed/tcp: TLS, batches(), counting",
    operationOf01: "receive-tls",
  },
  "framed/receive-tls": { label: "@framed/tcp: TLS, batches()" },
  "framed/receive-iterating": { label: "@framed/tcp: iterating" },
  "framed/receive-readable": { label: "@framed/tcp: readable" },
  "framed/receive-text": { label: "@framed/tcp: lines(), iterating" },
  "framed/send-windowed": { label: "@framed/tcp: send(), one in 512 awaited" },
  "framed/send-writer": { label: "@framed/tcp: writable's writer" },
  "framed/send-awaited": { label: "@framed/tcp: send(), each awaited" },
  "framed/request": { label: "@framed/tcp: request()" },
  "framed/request-tls": { label: "@framed/tcp: TLS, request()" },
  "framed/echo-batches": { label: "@framed/tcp: batches()" },
  "framed/echo-forward-tls": {
    label: "@framed/tcp: TLS, batches(), forward()",
    operationOf01: "echo-tls",
  },
  "framed/echo-tls": { label: "@framed/tcp: TLS, batches()" },
  "framed/echo-iterating": {
    label: "@framed/tcp: iterating, each send awaited",
  },
  "framed/broadcast": { label: "@framed/tcp: broadcast()" },
  "framed/broadcast-loop": { label: "@framed/tcp: send() to each in a loop" },
  "framed/decode-lines": {
    label: '@framed/tcp: ChunkDecoder, delimited("\\n")',
  },
  "framed/decode-crlf": {
    label: '@framed/tcp: ChunkDecoder, delimited("\\r\\n")',
  },
  "framed/decode-almost": {
    label: '@framed/tcp: ChunkDecoder, delimited("aab")',
  },
  "framed/decode-prefixed": {
    label: "@framed/tcp: ChunkDecoder, lengthPrefixed()",
  },
  "framed/decode-lines-apart": {
    label: '@framed/tcp: ChunkDecoder, delimited("\\n")',
  },
  "framed/decode-prefixed-apart": {
    label: "@framed/tcp: ChunkDecoder, lengthPrefixed()",
  },
  "framed/decode-text": { label: "@framed/tcp: ChunkDecoder, lines()" },
  "framed/decode-fatal": {
    label: "@framed/tcp: ChunkDecoder, lines({ fatal: true })",
  },
  "framed/decode-json": {
    label: '@framed/tcp: ChunkDecoder, asJson(delimited("\\n"))',
  },
  "framed/delimiter-stream": { label: "@framed/tcp: DelimiterStream" },
  "std/receive": { label: "@std/streams: conn.readable, DelimiterStream" },
  "std/receive-text": { label: "@std/streams: conn.readable, TextLineStream" },
  "std/decode-lines": { label: "@std/streams: DelimiterStream" },
  "std/decode-crlf": { label: "@std/streams: DelimiterStream" },
  "std/decode-almost": { label: "@std/streams: DelimiterStream" },
  "std/decode-text": { label: "@std/streams: TextLineStream" },
  "deno/receive-read": { label: "Deno: conn.read, no messages", isFloor: true },
  "deno/receive-tls": {
    label: "Deno: TLS, conn.read, no messages",
    isFloor: true,
  },
  "deno/receive-views": {
    label: "Deno: conn.read, new buffers, views where messages must end",
    isFloor: true,
  },
  "deno/receive-readable": {
    label: "Deno: conn.readable, no messages",
    isFloor: true,
  },
  "deno/send-write": { label: "Deno: await conn.write" },
  "deno/send-writer": { label: "Deno: conn.writable's writer" },
  "deno/request": { label: "Deno: conn.write, conn.read, length known" },
  "deno/request-any-length": { label: "Deno: conn.write, conn.read" },
  "deno/request-tls": { label: "Deno: TLS, conn.write, conn.read" },
  "deno/echo": { label: "Deno: conn.read, conn.write, no messages" },
  "deno/echo-small": {
    label: "Deno: conn.read, conn.write, no messages, 512 bytes of buffer",
  },
  "deno/echo-tls": { label: "Deno: TLS, conn.read, conn.write, no messages" },
  "deno/echo-views": {
    label: "Deno: conn.read, copies where messages must end, conn.write",
  },
  "deno/broadcast": {
    label: "Deno: conn.write to each, no messages",
  },
  "deno/decode-views": {
    label: "Deno: views where messages must end",
    isFloor: true,
  },
  "deno/scan": { label: "Deno: indexOf, no messages", isFloor: true },
  "node/receive": { label: "Node: net, Buffer.indexOf" },
  "node/receive-looked-at": {
    label: "Node: net, Buffer.indexOf, four bytes of each looked at",
  },
  "node/receive-prefixed": { label: "Node: net, Buffer.readUInt32BE" },
  "node/receive-split2": { label: "Node: net, split2" },
  "node/receive-readline": { label: "Node: net, readline" },
  "node/send": { label: "Node: net, cork and drain" },
  "node/request": { label: "Node: net" },
  "node/echo": { label: "Node: net, Buffer.indexOf, cork" },
  "node/broadcast": { label: "Node: net, one Buffer to each, cork" },
  "framed-node/receive-counting": {
    label: "@framed/tcp in Node: batches(), counting",
  },
  "framed-node/receive-batches": { label: "@framed/tcp in Node: batches()" },
  "framed-node/receive-batch-text": {
    label: "@framed/tcp in Node: lines(), batches(), allTexts()",
  },
  "framed-node/receive-text": {
    label: "@framed/tcp in Node: lines(), iterating",
  },
  "framed-node/request": { label: "@framed/tcp in Node: request()" },
  "framed-node/echo-forward": {
    label: "@framed/tcp in Node: batches(), forward()",
  },
  "framed-node/echo-batches": { label: "@framed/tcp in Node: batches()" },
  "framed-node/echo-iterating": {
    label: "@framed/tcp in Node: iterating, each send awaited",
  },
  "framed-bun/receive-counting": {
    label: "@framed/tcp in Bun: batches(), counting",
  },
  "framed-bun/receive-batches": { label: "@framed/tcp in Bun: batches()" },
  "framed-bun/receive-batch-text": {
    label: "@framed/tcp in Bun: lines(), batches(), allTexts()",
  },
  "framed-bun/receive-text": {
    label: "@framed/tcp in Bun: lines(), iterating",
  },
  "framed-bun/request": { label: "@framed/tcp in Bun: request()" },
  "framed-bun/echo-forward": {
    label: "@framed/tcp in Bun: batches(), forward()",
  },
  "framed-bun/echo-batches": { label: "@framed/tcp in Bun: batches()" },
  "framed-bun/echo-iterating": {
    label: "@framed/tcp in Bun: iterating, each send awaited",
  },
  "bun/receive": { label: "Bun: net, Buffer.indexOf" },
  "bun/receive-split2": { label: "Bun: net, split2" },
  "bun/request": { label: "Bun: net" },
  "bun/echo": { label: "Bun: net, Buffer.indexOf, cork" },
  "go/receive": { label: "Go: bufio.Scanner" },
  "go/receive-prefixed": { label: "Go: bufio.Scanner" },
  "go/send": { label: "Go: bufio.Writer" },
  "go/request": { label: "Go: bufio" },
  "go/echo": { label: "Go: bufio" },
  "go/decode-lines": { label: "Go: bufio.Scanner" },
  "go/decode-large": { label: "Go: bufio.Reader.ReadBytes" },
  "go/decode-crlf": { label: "Go: bufio.Scanner" },
  "go/decode-almost": { label: "Go: bufio.Scanner, bytes.Index" },
  "go/decode-prefixed": { label: "Go: bufio.Scanner" },
  "tokio/receive": { label: "tokio-util: AnyDelimiterCodec" },
  "tokio/receive-text": { label: "tokio-util: LinesCodec" },
  "tokio/send": { label: "tokio-util: feed, one in 512 flushed" },
  "tokio/request": { label: "tokio-util: Framed" },
  "tokio/echo": { label: "tokio-util: Framed" },
  "tokio/decode-lines": { label: "tokio-util: AnyDelimiterCodec" },
  "tokio/decode-text": { label: "tokio-util: LinesCodec" },
  "tokio/decode-prefixed": { label: "tokio-util: LengthDelimitedCodec" },
} satisfies Record<`${ProgramName}/${string}`, Subject>;

/** A program and its operation: `node/echo`. */
export type SubjectName = keyof typeof SUBJECTS | `0.1/${string}`;

const DESCRIPTIONS: Record<string, Subject> = SUBJECTS;

/** The description of a subject. */
export function describe(name: SubjectName): Subject {
  const [program, operation] = name.split("/");
  if (program !== "0.1") return DESCRIPTIONS[name] ?? { label: name };
  const { label } = DESCRIPTIONS[`framed/${operation}`] ?? { label: name };
  return { label: label.replace("@framed/tcp:", "@framed/tcp 0.1:") };
}

/** The same operation in 0.1, for subjects of the module. */
export function in01(name: SubjectName): SubjectName | undefined {
  const [program, operation] = name.split("/");
  if (program !== "framed") return undefined;
  return `0.1/${describe(name).operationOf01 ?? operation}`;
}

/** All subjects of a case, and the same operations in 0.1. */
export function subjectsOf({ subjects }: Case): SubjectName[] {
  const all = subjects.flatMap((name) => [name, in01(name) ?? name]);
  return [...new Set(all)];
}

/**
 * What the far side does: sends, receives, echoes, sends with many in flight over many
 * connections, opens connections, or sends on one of many connections and receives on
 * all, each message alone or many in flight; or nothing, for operations in memory.
 */
export type Mode =
  | "source"
  | "sink"
  | "echo"
  | "pipelined"
  | "open"
  | "broadcast"
  | "broadcast-pipelined"
  | "memory";

/** The quantity of a ratio; above 1 the subject is better. */
export type Metric = "time" | "memory";

/** A ratio to report: the value of `beside`, divided by that of the subject. */
export interface Comparison {
  subject: SubjectName;
  beside: SubjectName;
  /** `"time"` by default. */
  metric?: Metric;
  /** The ratio to reach. */
  reach?: number;
  /** The ratio that seems to be the limit. */
  limit?: number;
}

/** A task, and the subjects that do it in turn. */
export interface Case {
  name: string;
  title: string;
  /** What is counted; `"message"` by default. */
  unit?: string;
  mode: Mode;
  messageLength: number;
  /** In memory: the length of a chunk; 64 KiB by default. */
  chunkLength?: number;
  /** The content of the messages; `"letters"` by default. */
  kind?: Kind;
  /**
   * The framing: a length of 4 bytes before each message, or lines; `"lines"` by
   * default.
   */
  framing?: "lines" | "prefixed";
  /** The transport; `"tcp"` by default. */
  transport?: "tcp" | "tls";
  /**
   * Whether the subject and the far side have one processor each or share one; by
   * default the scheduler decides.
   */
  processors?: "own" | "shared";
  /** The number of messages in a run, if fixed; otherwise it is measured first. */
  count?: number;
  subjects: SubjectName[];
  comparisons: Comparison[];
}

/**
 * One request at a time. The placement of the two processes has more effect than
 * anything else: waking another processor takes several times as long as the work. So
 * it is fixed: the scheduler would move them in the middle of a run.
 */
function pingPong(
  processors: "own" | "shared",
  where: string,
  goals: Pick<Comparison, "reach" | "limit">,
): Case {
  return {
    name: `ping-pong-${processors}`,
    title: `Ping-pong, 64-byte lines, one in flight, ${where}`,
    mode: "echo",
    messageLength: 64,
    processors,
    subjects: [
      "framed/request",
      "deno/request",
      "deno/request-any-length",
      "node/request",
      "go/request",
      "tokio/request",
    ],
    comparisons: [
      {
        subject: "framed/request",
        beside: "deno/request-any-length",
        ...goals,
      },
      { subject: "framed/request", beside: "deno/request" },
      { subject: "framed/request", beside: "go/request", limit: 1 },
      { subject: "framed/request", beside: "node/request" },
      { subject: "framed/request", beside: "tokio/request" },
    ],
  };
}

/** Over `node:net`, compared with bare sockets in the same runtime. */
function overNodeNet(
  name: string,
  title: string,
  task: Pick<Case, "mode" | "processors" | "unit" | "count">,
  operations: readonly (
    | "receive-counting"
    | "receive-batches"
    | "receive-batch-text"
    | "receive-text"
    | "request"
    | "echo-forward"
    | "echo-batches"
    | "echo-iterating"
  )[],
  beside: "receive" | "receive-split2" | "request" | "echo",
  goals: Pick<Comparison, "metric" | "reach">,
): Case {
  const runtimes = ["node", "bun"] as const;
  return {
    name,
    title,
    messageLength: 64,
    ...task,
    subjects: runtimes.flatMap((runtime) => [
      ...operations.map((operation) =>
        `framed-${runtime}/${operation}` as const
      ),
      `${runtime}/${beside}` as const,
    ]),
    comparisons: runtimes.flatMap((runtime) =>
      operations.map((operation, index) => ({
        subject: `framed-${runtime}/${operation}` as const,
        beside: `${runtime}/${beside}` as const,
        // The first one is the fastest way, for programs where speed matters.
        ...(index === 0 && goals),
      }))
    ),
  };
}

/**
 * Messages as lines over TLS, compared with a bare loop in Deno that does not look for
 * messages.
 */
function overTls(
  operation: "receive" | "request" | "echo",
  title: string,
  task: Pick<Case, "mode" | "processors">,
  operations: readonly (
    | "receive-counting"
    | "receive"
    | "request"
    | "echo-forward"
    | "echo"
  )[],
  goals: Pick<Comparison, "reach" | "limit">,
): Case {
  const bare = `deno/${operation}-tls` as const;
  const own = operations.map((each) => `framed/${each}-tls` as const);
  return {
    name: `tls-${operation}`,
    title,
    messageLength: 64,
    transport: "tls",
    ...task,
    subjects: [...own, bare],
    comparisons: own.map((subject, index) => ({
      subject,
      beside: bare,
      // The first one is the fastest way, for programs where speed matters.
      ...(index === 0 && goals),
    })),
  };
}

/** One message to many receivers. */
function broadcasting(
  name: string,
  title: string,
  task: Pick<Case, "messageLength"> & {
    mode: "broadcast" | "broadcast-pipelined";
  },
  goals?: Pick<Comparison, "reach" | "limit">,
): Case {
  return {
    name,
    title: `Broadcast, ${title}`,
    unit: "receiver",
    ...task,
    subjects: [
      "framed/broadcast",
      "framed/broadcast-loop",
      "deno/broadcast",
      "node/broadcast",
    ],
    comparisons: [
      { subject: "framed/broadcast", beside: "framed/broadcast-loop" },
      { subject: "framed/broadcast", beside: "deno/broadcast" },
      { subject: "deno/broadcast", beside: "node/broadcast" },
      { subject: "framed/broadcast", beside: "node/broadcast", ...goals },
    ],
  };
}

/** Messages after a length of 4 bytes. */
function prefixedInMemory(
  name: string,
  length: string,
  messageLength: number,
): Case {
  return {
    name,
    title: `Decode in memory, ${length} after a length of 4 bytes`,
    mode: "memory",
    messageLength,
    subjects: [
      "framed/decode-prefixed",
      "go/decode-prefixed",
      "tokio/decode-prefixed",
    ],
    comparisons: [
      {
        subject: "framed/decode-prefixed",
        beside: "0.1/decode-prefixed",
        reach: 2,
      },
      {
        subject: "framed/decode-prefixed",
        beside: "tokio/decode-prefixed",
        reach: 1.5,
        limit: 2.2,
      },
      { subject: "framed/decode-prefixed", beside: "go/decode-prefixed" },
    ],
  };
}

/** Decoding in memory, compared only between versions of the module. */
function decodingBeside01(
  name: string,
  subject: "framed/decode-text" | "framed/decode-fatal" | "framed/decode-json",
  title: string,
  kind: Kind,
  goals: Pick<Comparison, "reach" | "limit">,
): Case {
  const beside = in01(subject);
  return {
    name,
    title: `Decode in memory, ${title}`,
    mode: "memory",
    messageLength: 64,
    kind,
    subjects: [subject],
    comparisons: beside ? [{ subject, beside, ...goals }] : [],
  };
}

/** All cases, in the order of the report. */
export const CASES: Case[] = [
  {
    name: "receive-64",
    title: "Receive, 64-byte lines",
    mode: "source",
    messageLength: 64,
    subjects: [
      "framed/receive-counting",
      "framed/receive-batches",
      "framed/receive-iterating",
      "framed/receive-readable",
      "std/receive",
      "deno/receive-views",
      "deno/receive-read",
      "deno/receive-readable",
      "node/receive",
      "go/receive",
      "tokio/receive",
    ],
    comparisons: [
      {
        subject: "framed/receive-counting",
        beside: "node/receive",
        reach: 4.5,
        limit: 5.7,
      },
      {
        subject: "framed/receive-batches",
        beside: "node/receive",
        limit: 1.6,
      },
      {
        subject: "framed/receive-iterating",
        beside: "std/receive",
        reach: 2.2,
        limit: 2.6,
      },
      {
        subject: "framed/receive-readable",
        beside: "std/receive",
        reach: 1.6,
        limit: 2,
      },
      { subject: "framed/receive-batches", beside: "deno/receive-views" },
      { subject: "deno/receive-views", beside: "node/receive" },
      { subject: "framed/receive-batches", beside: "deno/receive-read" },
      { subject: "framed/receive-batches", beside: "deno/receive-readable" },
      {
        subject: "framed/receive-counting",
        beside: "go/receive",
        reach: 0.95,
        limit: 1.1,
      },
      { subject: "framed/receive-batches", beside: "tokio/receive" },
    ],
  },
  {
    name: "receive-64-looked-at",
    title: "Receive, 64-byte lines, four bytes of each looked at",
    mode: "source",
    messageLength: 64,
    subjects: [
      "framed/receive-headers-looked-at",
      "framed/receive-places-looked-at",
      "framed/receive-looked-at",
      "node/receive-looked-at",
    ],
    comparisons: [
      {
        subject: "framed/receive-headers-looked-at",
        beside: "node/receive-looked-at",
        reach: 3.5,
        limit: 4.5,
      },
      {
        subject: "framed/receive-places-looked-at",
        beside: "node/receive-looked-at",
      },
    ],
  },
  {
    name: "receive-64-prefixed",
    title: "Receive, 64 bytes after a length of 4 bytes",
    mode: "source",
    messageLength: 64,
    framing: "prefixed",
    subjects: [
      "framed/receive-counting-prefixed",
      "framed/receive-prefixed",
      "node/receive-prefixed",
      "go/receive-prefixed",
    ],
    comparisons: [
      {
        subject: "framed/receive-counting-prefixed",
        beside: "node/receive-prefixed",
        reach: 4,
        limit: 5,
      },
      {
        subject: "framed/receive-counting-prefixed",
        beside: "go/receive-prefixed",
        reach: 0.9,
        limit: 1.1,
      },
    ],
  },
  {
    name: "receive-text",
    title: "Receive, 64-byte lines as text",
    mode: "source",
    messageLength: 64,
    subjects: [
      "framed/receive-batch-text",
      "framed/receive-text",
      "std/receive-text",
      "node/receive-split2",
      "node/receive-readline",
      "tokio/receive-text",
    ],
    comparisons: [
      {
        subject: "framed/receive-text",
        beside: "std/receive-text",
        reach: 1.5,
        limit: 2.5,
      },
      {
        subject: "framed/receive-batch-text",
        beside: "node/receive-split2",
        reach: 2.5,
        limit: 3.5,
      },
      { subject: "framed/receive-text", beside: "node/receive-readline" },
      { subject: "framed/receive-text", beside: "tokio/receive-text" },
    ],
  },
  {
    name: "receive-1024",
    title: "Receive, 1 KiB lines",
    mode: "source",
    messageLength: 1024,
    subjects: [
      "framed/receive-counting",
      "framed/receive-batches",
      "std/receive",
      "deno/receive-views",
      "deno/receive-read",
      "node/receive",
      "go/receive",
      "tokio/receive",
    ],
    comparisons: [
      {
        subject: "framed/receive-counting",
        beside: "node/receive",
        reach: 1.7,
        limit: 2.3,
      },
      {
        subject: "framed/receive-counting",
        beside: "go/receive",
        reach: 0.75,
        limit: 0.95,
      },
      { subject: "framed/receive-batches", beside: "std/receive" },
      { subject: "framed/receive-batches", beside: "deno/receive-views" },
      { subject: "deno/receive-views", beside: "node/receive" },
      { subject: "framed/receive-batches", beside: "deno/receive-read" },
    ],
  },
  {
    name: "send-64",
    title: "Send, 64-byte lines",
    mode: "sink",
    messageLength: 64,
    subjects: [
      "framed/send-windowed",
      "framed/send-writer",
      "framed/send-awaited",
      "deno/send-writer",
      "deno/send-write",
      "node/send",
      "go/send",
      "tokio/send",
    ],
    comparisons: [
      {
        subject: "framed/send-windowed",
        beside: "node/send",
        reach: 2.6,
        limit: 3.5,
      },
      {
        subject: "framed/send-windowed",
        beside: "tokio/send",
        reach: 0.6,
        limit: 1,
      },
      {
        subject: "framed/send-writer",
        beside: "deno/send-writer",
        reach: 5.5,
        limit: 10,
      },
      {
        subject: "framed/send-awaited",
        beside: "deno/send-write",
        reach: 7,
        limit: 15,
      },
      { subject: "framed/send-windowed", beside: "go/send" },
    ],
  },
  pingPong("own", "each side on a processor of its own", {
    reach: 0.88,
    limit: 1,
  }),
  pingPong("shared", "both sides on one processor", { reach: 0.93, limit: 1 }),
  {
    name: "ping-pong-varied",
    title:
      "Ping-pong, lines of 32 to 95 bytes, one in flight, both sides on one processor",
    mode: "echo",
    messageLength: 64,
    kind: "varied",
    processors: "shared",
    subjects: ["framed/request", "deno/request-any-length", "node/request"],
    comparisons: [
      {
        subject: "framed/request",
        beside: "deno/request-any-length",
        reach: 0.83,
        limit: 0.9,
      },
      { subject: "framed/request", beside: "node/request" },
    ],
  },
  {
    name: "echo",
    title: "Pipelined echo, 64-byte lines, 64 connections, 32 in flight each",
    mode: "pipelined",
    messageLength: 64,
    subjects: [
      "framed/echo-forward",
      "framed/echo-batches",
      "framed/echo-iterating",
      "deno/echo-views",
      "deno/echo",
      "node/echo",
      "go/echo",
      "tokio/echo",
    ],
    comparisons: [
      {
        subject: "framed/echo-forward",
        beside: "node/echo",
        reach: 2,
        limit: 2.8,
      },
      {
        subject: "framed/echo-batches",
        beside: "node/echo",
        reach: 1.5,
        limit: 2,
      },
      {
        subject: "framed/echo-forward",
        beside: "tokio/echo",
        reach: 0.8,
        limit: 0.95,
      },
      {
        subject: "framed/echo-iterating",
        beside: "node/echo",
        reach: 1.3,
        limit: 1.7,
      },
      { subject: "framed/echo-batches", beside: "deno/echo-views" },
      { subject: "deno/echo-views", beside: "node/echo" },
      { subject: "framed/echo-batches", beside: "deno/echo" },
      { subject: "framed/echo-batches", beside: "go/echo" },
    ],
  },
  {
    name: "echo-1024",
    title: "Pipelined echo, 1 KiB lines, 64 connections, 32 in flight each",
    mode: "pipelined",
    messageLength: 1024,
    subjects: [
      "framed/echo-forward",
      "framed/echo-batches",
      "framed/echo-iterating",
      "node/echo",
      "go/echo",
      "tokio/echo",
    ],
    comparisons: [
      { subject: "framed/echo-forward", beside: "node/echo" },
      { subject: "framed/echo-iterating", beside: "node/echo" },
    ],
  },
  broadcasting(
    "broadcast",
    "64-byte lines to 1,000 receivers, one in flight",
    { mode: "broadcast", messageLength: 64 },
    { reach: 0.85, limit: 1 },
  ),
  broadcasting(
    "broadcast-pipelined",
    "64-byte lines to 1,000 receivers, 32 in flight",
    { mode: "broadcast-pipelined", messageLength: 64 },
  ),
  broadcasting(
    "broadcast-pipelined-1024",
    "1 KiB lines to 1,000 receivers, 32 in flight",
    { mode: "broadcast-pipelined", messageLength: 1024 },
  ),
  {
    name: "idle",
    title: "10,000 connections, opened, used once and idle",
    unit: "connection",
    mode: "open",
    messageLength: 64,
    count: 10_000,
    subjects: [
      "framed/echo-iterating",
      "deno/echo-small",
      "deno/echo",
      "node/echo",
      "go/echo",
      "tokio/echo",
    ],
    comparisons: [
      {
        subject: "framed/echo-iterating",
        beside: "deno/echo-small",
        metric: "memory",
        reach: 1 / 1.35,
        limit: 1 / 1.15,
      },
      {
        subject: "framed/echo-iterating",
        beside: "deno/echo-small",
        reach: 0.8,
        limit: 0.9,
      },
      {
        subject: "framed/echo-iterating",
        beside: "go/echo",
        metric: "memory",
        reach: 1,
        limit: 1 / 0.75,
      },
      {
        subject: "framed/echo-iterating",
        beside: "node/echo",
        metric: "memory",
      },
      { subject: "framed/echo-iterating", beside: "node/echo", reach: 0.95 },
      { subject: "framed/echo-iterating", beside: "go/echo", limit: 1 },
    ],
  },
  overTls(
    "receive",
    "Receive, 64-byte lines over TLS",
    { mode: "source" },
    ["receive-counting", "receive"],
    { reach: 0.75, limit: 0.95 },
  ),
  overTls(
    "request",
    "Ping-pong, 64-byte lines over TLS, one in flight, both sides on one processor",
    { mode: "echo", processors: "shared" },
    ["request"],
    { reach: 0.75, limit: 0.9 },
  ),
  overTls(
    "echo",
    "Pipelined echo, 64-byte lines over TLS, 64 connections, 32 in flight each",
    { mode: "pipelined" },
    ["echo-forward", "echo"],
    { reach: 0.72, limit: 0.85 },
  ),
  {
    name: "decode-16",
    title: "Decode in memory, 16-byte lines",
    mode: "memory",
    messageLength: 16,
    subjects: [
      "framed/decode-lines",
      "framed/delimiter-stream",
      "std/decode-lines",
      "deno/decode-views",
      "deno/scan",
      "go/decode-lines",
      "tokio/decode-lines",
    ],
    comparisons: [
      {
        subject: "framed/decode-lines",
        beside: "std/decode-lines",
        reach: 5.5,
      },
      {
        subject: "framed/delimiter-stream",
        beside: "std/decode-lines",
        reach: 1.2,
        limit: 2,
      },
      { subject: "framed/decode-lines", beside: "deno/decode-views" },
      { subject: "deno/decode-views", beside: "std/decode-lines" },
      { subject: "framed/decode-lines", beside: "deno/scan" },
      { subject: "framed/decode-lines", beside: "go/decode-lines" },
    ],
  },
  {
    name: "decode-64",
    title: "Decode in memory, 64-byte lines",
    mode: "memory",
    messageLength: 64,
    subjects: [
      "framed/decode-lines",
      "framed/delimiter-stream",
      "std/decode-lines",
      "deno/decode-views",
      "deno/scan",
      "go/decode-lines",
      "tokio/decode-lines",
    ],
    comparisons: [
      { subject: "framed/decode-lines", beside: "std/decode-lines", reach: 9 },
      { subject: "framed/decode-lines", beside: "go/decode-lines", limit: 0.5 },
      {
        subject: "framed/delimiter-stream",
        beside: "std/decode-lines",
        reach: 1.5,
        limit: 2,
      },
      { subject: "framed/decode-lines", beside: "deno/decode-views" },
      { subject: "deno/decode-views", beside: "std/decode-lines" },
      { subject: "framed/decode-lines", beside: "deno/scan" },
    ],
  },
  {
    name: "decode-1024",
    title: "Decode in memory, 1 KiB lines",
    mode: "memory",
    messageLength: 1024,
    subjects: [
      "framed/decode-lines",
      "framed/delimiter-stream",
      "std/decode-lines",
      "deno/decode-views",
      "deno/scan",
      "go/decode-lines",
      "tokio/decode-lines",
    ],
    comparisons: [
      { subject: "framed/decode-lines", beside: "std/decode-lines", reach: 11 },
      {
        subject: "framed/delimiter-stream",
        beside: "std/decode-lines",
        reach: 4,
      },
      { subject: "framed/decode-lines", beside: "deno/decode-views" },
      { subject: "deno/decode-views", beside: "std/decode-lines" },
      { subject: "framed/decode-lines", beside: "deno/scan" },
      { subject: "framed/decode-lines", beside: "go/decode-lines" },
    ],
  },
  {
    name: "decode-crlf",
    title: "Decode in memory, 64-byte lines that end with CR LF",
    mode: "memory",
    messageLength: 64,
    subjects: [
      "framed/decode-crlf",
      "framed/decode-lines",
      "std/decode-crlf",
      "deno/decode-views",
      "go/decode-crlf",
    ],
    comparisons: [
      { subject: "framed/decode-crlf", beside: "std/decode-crlf", reach: 8 },
      { subject: "framed/decode-crlf", beside: "deno/decode-views" },
      { subject: "deno/decode-views", beside: "std/decode-crlf" },
      {
        subject: "framed/decode-crlf",
        beside: "framed/decode-lines",
        limit: 1,
      },
    ],
  },
  prefixedInMemory("decode-prefixed", "64 bytes", 64),
  prefixedInMemory("decode-prefixed-1024", "1 KiB", 1024),
  {
    name: "decode-cut",
    title:
      "Decode in memory, 1 KiB messages cut by chunks of 1460 bytes, each with its own memory",
    mode: "memory",
    messageLength: 1024,
    chunkLength: 1460,
    subjects: ["framed/decode-lines-apart", "framed/decode-prefixed-apart"],
    comparisons: [],
  },
  {
    name: "decode-large",
    title: "Decode in memory, one line of 64 MiB in chunks of 1460 bytes",
    mode: "memory",
    messageLength: 2 ** 26,
    chunkLength: 1460,
    subjects: [
      "framed/decode-lines",
      "std/decode-lines",
      "go/decode-large",
      "tokio/decode-lines",
    ],
    comparisons: [
      {
        subject: "framed/decode-lines",
        beside: "std/decode-lines",
        reach: 2.5,
      },
      {
        subject: "framed/decode-lines",
        beside: "tokio/decode-lines",
        limit: 2,
      },
    ],
  },
  {
    name: "decode-almost",
    title: 'Decode in memory, 1 KiB of "a" before each delimiter "aab"',
    mode: "memory",
    messageLength: 1024,
    kind: "same",
    subjects: ["framed/decode-almost", "std/decode-almost", "go/decode-almost"],
    comparisons: [
      { subject: "framed/decode-almost", beside: "std/decode-almost" },
      { subject: "framed/decode-almost", beside: "go/decode-almost" },
    ],
  },
  {
    name: "decode-text",
    title: "Decode in memory, 64-byte lines as text",
    mode: "memory",
    messageLength: 64,
    subjects: ["framed/decode-text", "std/decode-text", "tokio/decode-text"],
    comparisons: [
      { subject: "framed/decode-text", beside: "std/decode-text" },
      { subject: "framed/decode-text", beside: "tokio/decode-text" },
    ],
  },
  decodingBeside01(
    "decode-text-latin",
    "framed/decode-text",
    "64-byte lines of Latin text with accents",
    "latin",
    { reach: 1.4, limit: 2.2 },
  ),
  decodingBeside01(
    "decode-text-korean",
    "framed/decode-text",
    "64-byte lines of Korean text",
    "korean",
    { reach: 1.4, limit: 2.2 },
  ),
  decodingBeside01(
    "decode-fatal",
    "framed/decode-fatal",
    "64-byte lines as text, invalid UTF-8 refused",
    "letters",
    { reach: 2.5 },
  ),
  decodingBeside01(
    "decode-fatal-latin",
    "framed/decode-fatal",
    "64-byte lines of Latin text with accents, invalid UTF-8 refused",
    "latin",
    { reach: 2.5 },
  ),
  decodingBeside01(
    "decode-json",
    "framed/decode-json",
    "JSON objects with a text of 64 bytes",
    "letters",
    { reach: 2.5 },
  ),
  overNodeNet(
    "runtimes-receive-64",
    "Node and Bun: receive, 64-byte lines",
    { mode: "source" },
    ["receive-counting", "receive-batches"],
    "receive",
    { reach: 2 },
  ),
  overNodeNet(
    "runtimes-receive-text-64",
    "Node and Bun: receive, 64-byte lines as text",
    { mode: "source" },
    ["receive-batch-text", "receive-text"],
    "receive-split2",
    { reach: 2 },
  ),
  overNodeNet(
    "runtimes-echo-64",
    "Node and Bun: echo, 64-byte lines, many in flight",
    { mode: "pipelined" },
    ["echo-forward", "echo-batches"],
    "echo",
    { reach: 1.5 },
  ),
  overNodeNet(
    "runtimes-ping-pong",
    "Node and Bun: ping-pong, 64-byte lines, one in flight",
    { mode: "echo", processors: "shared" },
    ["request"],
    "request",
    { reach: 0.8 },
  ),
  overNodeNet(
    "runtimes-idle",
    "Node and Bun: 10,000 connections, opened, used once and idle",
    { mode: "open", unit: "connection", count: 10_000 },
    ["echo-iterating"],
    "echo",
    { metric: "memory", reach: 1 / 1.5 },
  ),
];
