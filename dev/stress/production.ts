/**
 * The server of `docs/production.md`, taken from the page, attacked by the hostile
 * suite.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { connect } from "../../client/connect.ts";
import type { Connection } from "../../connection/connection.ts";
import { asText, lengthPrefixed, lines } from "../../framing.ts";
import { caCerts, certificate } from "../testdata/certificates.ts";
import { type Program, start } from "../testdata/start.ts";
import {
  GoodClients,
  HOSTILE_CASES,
  type HostileCase,
  nextLine,
  startAttack,
} from "./hostile.ts";
import type { ReportRow } from "./report_row.ts";
import { settlement } from "./settling.ts";

const PAGE = new URL("../../docs/production.md", import.meta.url);

/** Changes to the program of the page, each described on the page. */
export interface ProductionOptions {
  /** With TLS, as on the page; without; or without and with another framing. */
  readonly door: Door;
  /**
   * The milliseconds that a trickling peer takes for a byte. The limits are in
   * proportion.
   */
  readonly pace?: number;
  readonly maxConnections?: number;
  /** The limit for an address: all peers here have the same one. */
  readonly maxConnectionsPerAddress?: number;
}

type Door = HostileCase["door"];

const DOORS: readonly Door[] = ["lines", "lengths", "tls"];

/** The changed program of the page. */
export async function productionProgram(
  { door, pace, maxConnections, maxConnectionsPerAddress }: ProductionOptions,
): Promise<string> {
  const page = await Deno.readTextFile(PAGE);
  const programs = [...page.matchAll(/```ts ignore\n([^]*?)```/g)]
    .map(([, code = ""]) => code);
  assertEquals(programs.length, 1, "The page has one program");
  let program = programs[0] ?? "";
  const replace = (text: string, by: string) => {
    // Otherwise the page's program differs from the attacked one.
    assertEquals(program.split(text).length, 2, `The page has "${text}"`);
    program = program.replace(text, by);
  };
  replace("port: 4000", 'hostname: "127.0.0.1",\n  port: 0');
  replace("}, 60_000);", "}, 50);"); // the interval between printed figures
  // A faulty handler: its messages may contain a delimiter.
  replace(
    "return line.toUpperCase();",
    `return line.startsWith('"') ? JSON.parse(line) : line;`,
  );
  if (door !== "tls") {
    replace("  tls,\n", "");
    replace(/ {2}handshakeTimeout: .*\n/.exec(program)?.[0] ?? "none", "");
  }
  if (door === "lengths") {
    replace(
      "{ FramingError, lines,",
      "{ asText, FramingError, lengthPrefixed,",
    );
    replace(
      "lines({ maxLength: 10_000 })",
      "asText(lengthPrefixed({ fieldSize: 8, maxLength: 10_000 }))",
    );
  }
  if (pace !== undefined) {
    replace("receiveTimeout: 60_000", `receiveTimeout: ${pace * 5}`);
    replace("messageTimeout: 10_000", `messageTimeout: ${pace * 2.5}`);
    replace("sendTimeout: 60_000", `sendTimeout: ${pace * 2}`);
    if (door === "tls") {
      replace("handshakeTimeout: 10_000", `handshakeTimeout: ${pace * 5}`);
    }
  }
  if (maxConnections !== undefined) {
    replace("maxConnections: 1000", `maxConnections: ${maxConnections}`);
  }
  if (maxConnectionsPerAddress !== undefined) {
    replace(
      "maxConnectionsPerAddress: 20",
      `maxConnectionsPerAddress: ${maxConnectionsPerAddress}`,
    );
  }
  return `${program}\nconsole.log(server.addr.port);\n`;
}

/** The figures that the program prints. */
interface Figures {
  readonly connections: number;
  readonly memory: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** The program of the page, in its own process. */
export class ProductionServer implements AsyncDisposable {
  readonly port: number;
  readonly door: Door;
  readonly #program: Program;
  readonly #folder: string;
  readonly #watching: Promise<void>;
  #figures: Figures | undefined;
  #printed = Promise.withResolvers<void>();
  #memory = 0;

  private constructor(
    port: number,
    door: Door,
    program: Program,
    folder: string,
  ) {
    this.port = port;
    this.door = door;
    this.#program = program;
    this.#folder = folder;
    this.#watching = this.#watch();
  }

  /** Starts it with these changes. */
  static async start(options: ProductionOptions): Promise<ProductionServer> {
    const folder = await Deno.makeTempDir();
    const imports = {
      ...config.imports,
      [config.name]: new URL("../../mod.ts", import.meta.url).href,
    };
    const files: Readonly<Record<string, string>> = {
      "server.ts": await productionProgram(options),
      "cert.pem": certificate.cert,
      "key.pem": certificate.key,
      "deno.json": JSON.stringify({ lock: false, imports }),
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    // With the permissions on the page.
    const program = start("deno", [
      "run",
      "--no-prompt",
      "--cached-only",
      "--allow-net=127.0.0.1",
      "--allow-read=cert.pem,key.pem",
      "server.ts",
    ], folder);
    const port = Number(await nextLine(program));
    return new ProductionServer(port, options.door, program, folder);
  }

  /** The maximum memory that it has reported. */
  get peakMemory(): number {
    return this.#memory;
  }

  /** Its next figures. */
  async figures(): Promise<Figures> {
    await this.#printed.promise;
    assert(this.#figures !== undefined);
    return this.#figures;
  }

  async join(): Promise<Connection<string, string>> {
    return await connect({
      port: this.port,
      framing: this.door === "lengths"
        ? asText(lengthPrefixed({ fieldSize: 8 }))
        : lines(),
      tls: this.door === "tls" && { caCerts },
    });
  }

  /** Sends SIGTERM, and returns its exit code and its standard error. */
  async terminate(): Promise<{ code: number; stderr: string }> {
    this.#program.kill("SIGTERM");
    return await this.#program.ended;
  }

  async #watch(): Promise<void> {
    for await (const line of this.#program.lines) {
      const figures: Figures = JSON.parse(line);
      this.#figures = figures;
      this.#memory = Math.max(this.#memory, figures.memory);
      this.#printed.resolve();
      this.#printed = Promise.withResolvers();
    }
    this.#printed.reject(new Error("The server has ended"));
    this.#printed.promise.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    await this.#watching;
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** The errors with which the page's server may end an attack. */
function endingsOf({ ending, door, tls }: HostileCase): string[] {
  switch (ending) {
    case "TimeoutError idleTimeout":
      return door === "tls" && !tls
        ? ["TimeoutError handshakeTimeout"]
        : ["TimeoutError receiveTimeout"];
    case "TimeoutError sendTimeout":
      // A peer that is itself blocked sends nothing either.
      return [ending, "TimeoutError receiveTimeout"];
    default:
      return [ending];
  }
}

/** The attacks that their errors have not ended yet. */
function notEnded(
  cases: readonly HostileCase[],
  { errors }: Figures,
): string[] {
  return cases.filter((each) =>
    !endingsOf(each).some((ending) => ending in errors)
  ).map(({ name }) => name);
}

// Long enough that only a peer that is never ended reaches this limit.
const STUCK_MS = 20_000;
const MAX_GROWTH_BYTES = 300_000_000;

/** Options of an attack on the page's server. */
export interface ProductionAttack {
  readonly pace: number;
  /** The number of connections of each attack, and of good clients. */
  readonly attackers: number;
  readonly clients: number;
  /** The minimum time in milliseconds. */
  readonly duration: number;
}

/** Runs all attacks for one door on the page's server; throws if something is wrong. */
export async function attackProduction(
  door: Door,
  { pace, attackers, clients, duration }: ProductionAttack,
): Promise<ReportRow> {
  const cases = HOSTILE_CASES.filter((each) => each.door === door);
  await using server = await ProductionServer.start({
    door,
    pace,
    maxConnectionsPerAddress: 1000,
  });
  const { memory } = await server.figures();
  await using good = new GoodClients(
    await Promise.all(Array.from({ length: clients }, () => server.join())),
  );
  await using _attackers = await startAttack(
    cases.map((each) => ({
      ...each,
      connections: attackers,
      port: server.port,
      pace,
      pause: pace * 3,
    })),
  );
  const begin = Date.now();
  let figures = await server.figures();
  while (
    Date.now() < begin + duration ||
    notEnded(cases, figures).length > 0 && Date.now() < begin + STUCK_MS
  ) figures = await server.figures();

  assertEquals(notEnded(cases, figures), []);
  const { asked, lost, wrong, unsettled } = good.tally;
  assert(asked > 0);
  assert(server.peakMemory - memory < MAX_GROWTH_BYTES);
  return {
    workload: `request, ${clients} clients`,
    fault: `all attacks on ${door}, ${attackers} connections each`,
    operations: asked,
    lost,
    duplicated: wrong,
    unsettled,
    peakMemory: server.peakMemory,
    note: `docs/production.md's server; ${
      Object.entries(figures.errors).map(([kind, count]) => `${count} ${kind}`)
        .join(", ")
    }`,
  };
}

const SMALL = 8;

/** Good clients that connect while silent peers have all places of the page's server. */
export async function crowdProduction(
  door: "lines" | "tls",
  pace: number,
  peers: number,
): Promise<ReportRow> {
  await using server = await ProductionServer.start({
    door,
    pace,
    maxConnections: SMALL,
    maxConnectionsPerAddress: 1000,
  });
  await using _attackers = await startAttack([{
    attack: "silent",
    connections: peers,
    tls: false,
    port: server.port,
    pace,
    pause: pace * 3,
  }]);
  const results = await Promise.all(Array.from({ length: SMALL }, async () => {
    const client = await server.join();
    const result = await settlement(client.request("let me in"), "request()");
    await client.close().catch(() => {});
    return result;
  }));
  return {
    workload: `request, ${SMALL} clients that come`,
    fault: `silence on ${door}, ${peers} connections, maxConnections ${SMALL}`,
    operations: results.length,
    lost: results.filter(({ status }) => status === "rejected").length,
    duplicated: 0,
    unsettled: 0,
    peakMemory: server.peakMemory,
    note: "docs/production.md's server",
  };
}

/** The long run: each door attacked and full, for about `seconds`. */
export async function* productionRows(
  { seconds }: { readonly seconds: number },
): AsyncGenerator<ReportRow> {
  const duration = Math.max(1500, seconds * 1000 / (DOORS.length + 2));
  const pace = Math.min(1000, duration / 10);
  for (const door of DOORS) {
    yield await attackProduction(door, {
      pace,
      attackers: 20,
      clients: 100,
      duration,
    });
  }
  for (const door of ["lines", "tls"] as const) {
    yield await crowdProduction(door, Math.max(60, pace / 10), 50);
  }
}
