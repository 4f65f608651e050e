/** Hostile peers together with good ones, and how they affect the good ones. */
import { assert } from "@std/assert";
import { delay } from "@std/async/delay";
import { connect } from "../../client/connect.ts";
import type { Connection } from "../../connection/connection.ts";
import {
  asJson,
  asText,
  delimited,
  lengthPrefixed,
  lines,
} from "../../framing.ts";
import { caCerts } from "../testdata/certificates.ts";
import { type Program, start } from "../testdata/start.ts";
import type { Assault, Attack } from "./hostile_attackers.ts";
import type { Door, Figures, Limits, Ports } from "./hostile_server.ts";
import type { ReportRow, SuiteOptions } from "./report_row.ts";
import { settlement } from "./settling.ts";

/** An attack, its target door, and the error that ends it. */
export interface HostileCase {
  readonly name: string;
  readonly attack: Attack;
  readonly door: Exclude<Door, "small" | "smallTls">;
  /** Whether the attack starts after the TLS handshake. */
  readonly tls: boolean;
  /** The error, as {@linkcode Figures} names it. */
  readonly ending: string;
}

function hostileCase(
  name: string,
  attack: Attack,
  door: HostileCase["door"],
  ending: string,
  tls = false,
): HostileCase {
  return { name, attack, door, ending, tls };
}

/** Every attack. */
export const HOSTILE_CASES: readonly HostileCase[] = [
  hostileCase(
    "bytes without a delimiter, for ever",
    "endless",
    "lines",
    "FramingError too-long",
  ),
  hostileCase(
    "a length of 2^63",
    "hugeLength",
    "lengths",
    "FramingError too-long",
  ),
  hostileCase(
    "a message byte by byte",
    "trickle",
    "lines",
    "TimeoutError messageTimeout",
  ),
  hostileCase("silence", "silent", "lines", "TimeoutError idleTimeout"),
  hostileCase(
    "sending and never reading",
    "deaf",
    "lines",
    "TimeoutError sendTimeout",
  ),
  hostileCase(
    "a delimiter in what is sent back",
    "injection",
    "lines",
    "TypeError",
  ),
  hostileCase(
    "silence before the TLS handshake",
    "silent",
    "tls",
    "TimeoutError idleTimeout",
  ),
  hostileCase(
    "a TLS handshake byte by byte",
    "trickledHello",
    "tls",
    "TimeoutError idleTimeout",
  ),
  hostileCase("no TLS to a TLS server", "garbage", "tls", "InvalidData"),
  hostileCase(
    "sending and never reading, over TLS",
    "deaf",
    "tls",
    "TimeoutError sendTimeout",
    true,
  ),
];

// How long a server may take to close connections that its peers have closed.
const REST_MS = 1000;

/** The connection limit of the small doors together. */
const SMALL = 8;

/** Limits, in proportion to the time between two bytes. */
function limitsFor(pace: number): Limits {
  return {
    idleTimeout: pace * 5,
    messageTimeout: pace * 2.5,
    sendTimeout: pace,
    maxConnections: SMALL,
  };
}

/** The server under attack. */
export class Target implements AsyncDisposable {
  readonly ports: Ports;
  readonly pace: number;
  readonly #program: Program;
  readonly #figures: Connection<unknown, unknown>;

  private constructor(
    ports: Ports,
    pace: number,
    program: Program,
    figures: Connection<unknown, unknown>,
  ) {
    this.ports = ports;
    this.pace = pace;
    this.#program = program;
    this.#figures = figures;
  }

  /** Starts a server in its own process. */
  static async start(pace: number): Promise<Target> {
    const program = startHere("hostile_server.ts", limitsFor(pace));
    const ports: Ports = JSON.parse(await nextLine(program));
    const figures = await connect({
      port: ports.figures,
      framing: asJson(delimited("\n")),
    });
    return new Target(ports, pace, program, figures);
  }

  async figures(): Promise<Figures> {
    return await this.#figures.request("figures") as Figures;
  }

  /** Its open files, after it has closed the connections of gone peers or had time to. */
  async filesAtRest(files: number): Promise<number> {
    const deadline = Date.now() + REST_MS;
    for (;;) {
      const figures = await this.figures();
      if (figures.files <= files || Date.now() > deadline) return figures.files;
      await delay(20);
    }
  }

  /** Connects a good client to a door. */
  async join(door: Door): Promise<Connection<string, string>> {
    return await connect({
      port: this.ports[door],
      framing: door === "lengths"
        ? asText(lengthPrefixed({ fieldSize: 8 }))
        : lines(),
      tls: door.toLowerCase().endsWith("tls") && { caCerts },
    });
  }

  /** Starts attackers in their own process; they attack when this settles. */
  async attack(
    cases: readonly Pick<Assault, "attack" | "connections" | "tls">[],
    door: (index: number) => Door,
  ): Promise<Program> {
    const { pace } = this;
    const assaults: Assault[] = cases.map((each, index) => ({
      ...each,
      port: this.ports[door(index)],
      pace,
      pause: pace * 3,
    }));
    return await startAttack(assaults);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#figures.close();
    await this.#program[Symbol.asyncDispose]();
  }
}

/** Starts attackers in their own process; they attack when this settles. */
export async function startAttack(
  assaults: readonly Assault[],
): Promise<Program> {
  const program = startHere("hostile_attackers.ts", assaults);
  assert(await nextLine(program) === "attacking");
  return program;
}

function startHere(name: string, argument: unknown): Program {
  return start("deno", [
    "run",
    "--cached-only",
    "-A",
    `../stress/${name}`,
    JSON.stringify(argument),
  ]);
}

/** The next line that a program prints; rejects if it ends. */
export async function nextLine(program: Program): Promise<string> {
  const { value, done } = await program.lines.next();
  if (done) throw new Error(`Ended: ${(await program.ended).stderr}`);
  return value;
}

/** The attacks that their errors have not ended yet. */
export function notEnded({ doors }: Figures): string[] {
  return HOSTILE_CASES
    .filter(({ door, ending }) => doors[door].endings[ending] === undefined)
    .map(({ name }) => name);
}

/** The time between two requests of a good client. */
const QUESTION_PAUSE_MS = 50;

/** Clients that send requests all the time, because silent ones would be ended. */
export class GoodClients implements AsyncDisposable {
  /** Counts of requests: all, unanswered, wrongly answered, and pending. */
  readonly tally = { asked: 0, lost: 0, wrong: 0, unsettled: 0 };
  /** The latency of each answer in milliseconds, if measured. */
  #latencies: number[] | undefined;
  readonly #clients: readonly Connection<string, string>[];
  readonly #asking: Promise<unknown>;
  #isOver = false;

  /** Makes them send requests until they are disposed. */
  constructor(clients: readonly Connection<string, string>[]) {
    this.#clients = clients;
    this.#asking = Promise.all(
      clients.map((client, index) => this.#ask(client, index)),
    );
  }

  /** Records the latency of answers for some time. */
  async measure(milliseconds: number, latencies: number[]): Promise<void> {
    this.#latencies = latencies;
    await delay(milliseconds);
    this.#latencies = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#asking;
    for (const client of this.#clients) await client.close();
  }

  async #ask(
    client: Connection<string, string>,
    index: number,
  ): Promise<void> {
    // Not all at the same time.
    await delay(QUESTION_PAUSE_MS * index / this.#clients.length);
    for (let count = 0; !this.#isOver; count++) {
      const question = `question ${count} of ${index}`;
      const startedAt = performance.now();
      this.tally.asked++;
      try {
        const result = await settlement(client.request(question), "request()");
        this.#latencies?.push(performance.now() - startedAt);
        if (result.status === "rejected") return void this.tally.lost++;
        if (result.value !== question) this.tally.wrong++;
      } catch {
        return void this.tally.unsettled++;
      }
      await delay(QUESTION_PAUSE_MS);
    }
  }
}

const GOOD_CLIENTS = 100;
const ATTACKERS = 20;
const SILENT_PEERS = 50;
// How late a busy machine may end a peer after its limit.
const SLACK_MS = 3000;
// Messages of 20 peers: 20 MiB, and garbage. The kernel's buffers do not count.
const MAX_GROWTH_BYTES = 300_000_000;
// The runtime opens a pair of sockets for signals some time after its start.
const RUNTIME_FILES = 2;

// The minimum time for an attack and for the time without it. A sending peer may have
// four times its limit, when what it should read has filled the system's buffers.
const LEAST_MS = 3000;

/** Runs the hostile suite for about `seconds`. */
export async function* hostileRows(
  options: SuiteOptions,
): AsyncGenerator<ReportRow> {
  const share = Math.max(
    LEAST_MS,
    options.seconds / (HOSTILE_CASES.length + 2) * 1000,
  );
  for (const hostile of HOSTILE_CASES) yield await besideGood(hostile, share);
  for (const door of ["small", "smallTls"] as const) {
    yield await besideSilent(door, share);
  }
}

/** Good clients with and without an attack, alternately. */
async function besideGood(
  hostile: HostileCase,
  milliseconds: number,
): Promise<ReportRow> {
  const rounds = Math.max(1, Math.min(4, Math.floor(milliseconds / 15_000)));
  const phase = milliseconds / (2 * rounds + 0.5);
  // A byte a second, if there is time: a peer is ended after at most five times as
  // long.
  const pace = Math.min(1000, phase / 6);
  await using target = await Target.start(pace);
  const { door, ending } = hostile;
  await using good = new GoodClients(
    await Promise.all(
      Array.from({ length: GOOD_CLIENTS }, () => target.join(door)),
    ),
  );
  await good.measure(phase / 2, []); // to warm up
  const before = await target.figures();
  await using memory = peakMemory(target);
  const without: number[] = [];
  const withAttack: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await good.measure(phase, without);
    await using _attackers = await target.attack(
      [{ ...hostile, connections: ATTACKERS }],
      () => door,
    );
    await good.measure(phase, withAttack);
  }
  const growth = memory.peak - before.memory;
  const files = await target.filesAtRest(before.files);
  const { doors } = await target.figures();
  const { count = 0, maxAge = 0 } = doors[door].endings[ending] ?? {};
  const { asked, lost, wrong, unsettled } = good.tally;
  const maxTime = limitOf(ending, limitsFor(pace)) + SLACK_MS;
  assert(
    maxAge <= maxTime,
    `${hostile.name} was ended after ${maxAge} ms, not within ${maxTime} ms`,
  );
  assert(
    growth <= MAX_GROWTH_BYTES,
    `${hostile.name} took ${growth} bytes of memory`,
  );
  assert(
    files <= before.files + RUNTIME_FILES,
    `${hostile.name} left files open: ${before.files} before, ${files} after`,
  );
  const latencies = [without, withAttack];
  const p50 = latencies.map((each) => quantile(each, 0.5));
  const p99 = latencies.map((each) => quantile(each, 0.99));
  return {
    workload: `request, ${GOOD_CLIENTS} clients`,
    fault: `${hostile.name}, ${ATTACKERS} connections`,
    operations: asked,
    lost,
    duplicated: wrong,
    // An attack that is not ended counts as a wait that does not settle.
    unsettled: unsettled + (count === 0 ? 1 : 0),
    peakMemory: memory.peak,
    note: `latency × ${ratio(p50)} (median, ${inMs(p50)} ms), × ${
      ratio(p99)
    } (99th percentile, ${inMs(p99)} ms); ${count} ended by ${ending}, ${
      Math.round(maxAge)
    } ms old at most; at its peak ${
      Math.round(growth / 1e6)
    } MB more than before`,
  };
}

/** How long a peer with this ending may last. */
function limitOf(ending: string, limits: Limits): number {
  const { idleTimeout, messageTimeout, sendTimeout } = limits;
  if (ending.endsWith("idleTimeout")) return idleTimeout;
  if (ending.endsWith("messageTimeout")) return messageTimeout;
  // A peer that keeps sending gets four times as long.
  if (ending.endsWith("sendTimeout")) return 4 * sendTimeout;
  return 0;
}

/** The maximum measured memory of the server. */
function peakMemory(
  target: Target,
): AsyncDisposable & { readonly peak: number } {
  let peak = 0;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      peak = Math.max(peak, (await target.figures()).memory);
      await delay(100);
    }
  })();
  return {
    get peak() {
      return peak;
    },
    async [Symbol.asyncDispose]() {
      isOver = true;
      await watching;
    },
  };
}

/**
 * Good clients that connect while silent peers have all the places of the server and as
 * many more wait.
 */
export async function besideSilent(
  door: "small" | "smallTls",
  milliseconds: number,
  peers = SILENT_PEERS,
): Promise<ReportRow> {
  const pace = Math.max(20, Math.min(1000, milliseconds / 100));
  await using target = await Target.start(pace);
  await using memory = peakMemory(target);
  const waits: number[] = [];
  const tally = { asked: 0, lost: 0, unsettled: 0 };
  const deadline = performance.now() + milliseconds;
  do {
    await using _attackers = await target.attack(
      [{ attack: "silent", connections: peers, tls: false }],
      () => door,
    );
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: SMALL }, async () => {
      tally.asked++;
      try {
        const client = await target.join(door);
        const result = await settlement(client.request("let me in"), "request");
        waits.push(performance.now() - startedAt);
        if (result.status === "rejected") tally.lost++;
        await client.close();
      } catch {
        tally.unsettled++;
      }
    }));
  } while (performance.now() < deadline);
  const { doors } = await target.figures();
  const { count = 0 } = doors[door].endings["TimeoutError idleTimeout"] ?? {};
  return {
    workload: `request, ${SMALL} clients that come`,
    fault: `${
      door === "smallTls" ? "silence before the TLS handshake" : "silence"
    }, ${peers} connections, maxConnections ${SMALL}`,
    operations: tally.asked,
    lost: tally.lost,
    duplicated: 0,
    unsettled: tally.unsettled,
    peakMemory: memory.peak,
    note: `answered after ${Math.round(Math.max(...waits))} ms at most, where ${
      Math.ceil(peers / SMALL)
    } times idleTimeout are ${
      Math.round(Math.ceil(peers / SMALL) * limitsFor(pace).idleTimeout)
    } ms; ${count} silent peers were let go`,
  };
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * at)] ?? NaN;
}

function ratio([without = NaN, withAttack = NaN]: number[]): string {
  return (withAttack / without).toFixed(2);
}

function inMs(values: number[]): string {
  return values.map((value) => value.toFixed(2)).join(" → ");
}
