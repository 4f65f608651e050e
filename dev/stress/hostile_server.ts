// deno-lint-ignore-file no-console -- it prints its ports
/**
 * The server that hostile peers attack, in its own process. Its settings follow the
 * README's advice for servers open to strangers. Its argument is {@linkcode Limits} as
 * JSON; it prints {@linkcode Ports}.
 */
import {
  asJson,
  type Connection,
  delimited,
  FramingError,
  lengthPrefixed,
  lines,
  serve,
} from "../../mod.ts";
import { certificate } from "../testdata/certificates.ts";

/** The limits of every door. */
export interface Limits {
  readonly idleTimeout: number;
  readonly messageTimeout: number;
  readonly sendTimeout: number;
  /** The connection limit of the two small doors together. */
  readonly maxConnections: number;
}

/** A listener of the server. */
export type Door = "lines" | "lengths" | "tls" | "small" | "smallTls";

/** The ports of the doors and of the figures. */
export type Ports = Readonly<Record<Door | "figures", number>>;

/** The figures of a door. */
export interface DoorFigures {
  /** The connections that are open. */
  readonly connections: number;
  /** For each kind of error, how often it occurred, and the maximum age of a connection. */
  readonly endings: Readonly<Record<string, { count: number; maxAge: number }>>;
}

/** What the server reports on request. */
export interface Figures {
  /** The memory of the process, in bytes. */
  readonly memory: number;
  /** Open files of the process; 0 if the system does not report them. */
  readonly files: number;
  readonly doors: Readonly<Record<Door, DoorFigures>>;
}

const { maxConnections, ...timeouts }: Limits = JSON.parse(Deno.args[0] ?? "");
const base = { hostname: "127.0.0.1", port: 0, ...timeouts };
const text = { ...base, framing: lines() };
const small = { ...text, maxConnections };
const started = new WeakMap<object, number>();

const doors = {
  lines: door((onError) => serve({ ...text, onError }, answer)),
  lengths: door((onError) =>
    serve({
      ...base,
      framing: lengthPrefixed({ fieldSize: 8 }),
      onError,
    }, async (connection) => {
      started.set(connection, performance.now());
      for await (const message of connection) await connection.send(message);
    })
  ),
  tls: door((onError) => serve({ ...text, tls: certificate, onError }, answer)),
  small: door((onError) => serve({ ...small, onError }, answer)),
  smallTls: door((onError) =>
    serve({ ...small, tls: certificate, onError }, answer)
  ),
};

const figures = serve({
  hostname: "127.0.0.1",
  port: 0,
  framing: asJson(delimited("\n")),
}, async (connection) => {
  for await (const _ of connection) await connection.send(currentFigures());
});

console.log(JSON.stringify({
  lines: doors.lines.port,
  lengths: doors.lengths.port,
  tls: doors.tls.port,
  small: doors.small.port,
  smallTls: doors.smallTls.port,
  figures: figures.addr.port,
}));

/** Echoes each line; of a JSON string, its value. */
async function answer(connection: Connection<string, string>): Promise<void> {
  started.set(connection, performance.now());
  for await (const line of connection) {
    await connection.send(line.startsWith('"') ? JSON.parse(line) : line);
  }
}

function door(
  open: (onError: (error: unknown, connection?: object) => void) => {
    readonly addr: Deno.NetAddr;
    readonly connections: ReadonlySet<unknown>;
  },
) {
  const endings: Record<string, { count: number; maxAge: number }> = {};
  const { addr, connections } = open((error, connection) => {
    const ending = endings[kindOf(error)] ??= { count: 0, maxAge: 0 };
    const now = performance.now();
    const startedAt = connection && started.get(connection);
    ending.count++;
    ending.maxAge = Math.max(ending.maxAge, now - (startedAt ?? now));
  });
  return {
    port: addr.port,
    figures: (): DoorFigures => ({ connections: connections.size, endings }),
  };
}

/** The kind of an error, as the README distinguishes them. */
function kindOf(error: unknown): string {
  if (error instanceof FramingError) return `FramingError ${error.code}`;
  if (!(error instanceof Error)) return String(error);
  const [which] = error.message.match(/\w+Timeout/) ?? [];
  return which === undefined ? error.name : `${error.name} ${which}`;
}

function currentFigures(): Figures {
  return {
    memory: Deno.memoryUsage().rss,
    files: Deno.build.os === "linux"
      ? [...Deno.readDirSync("/proc/self/fd")].length
      : 0,
    doors: {
      lines: doors.lines.figures(),
      lengths: doors.lengths.figures(),
      tls: doors.tls.figures(),
      small: doors.small.figures(),
      smallTls: doors.smallTls.figures(),
    },
  };
}
