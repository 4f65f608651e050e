import { connect, FramingError, serve, unframed } from "@framed/tcp";
import { assertEquals, assertRejects } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  start,
  startExample,
  temporaryFolder,
} from "../../dev/interop/_peers.ts";
import { caCerts, certificate } from "../../dev/testdata/certificates.ts";
import { freePort } from "./_testing.ts";
import {
  framing,
  type Login,
  login,
  type Postgres,
  query,
} from "./postgres.ts";

const hostname = "127.0.0.1";
const tls = { serverName: "localhost", caCerts };
// Runs as the system's user "nobody": PostgreSQL refuses to run as root.
const NOBODY = 65534;

interface Database extends AsyncDisposable {
  readonly port: number;
}

/** A database in its own folder; `ann` needs TLS, `ben` also a password. */
async function startDatabase(): Promise<Database> {
  const folder = await temporaryFolder();
  const data = `${folder.path}/data`;
  const isRoot = (await Deno.stat(folder.path)).uid === 0;
  const run = (...command: string[]) =>
    start(
      isRoot
        ? ["setpriv", `--reuid=${NOBODY}`, "--clear-groups", ...command]
        : command,
    );
  const files = { cert: `${folder.path}/cert`, key: `${folder.path}/key` };
  await Deno.writeTextFile(files.cert, certificate.cert);
  await Deno.writeTextFile(files.key, certificate.key, { mode: 0o600 });
  if (isRoot) {
    for (const path of [folder.path, files.cert, files.key]) {
      await Deno.chown(path, NOBODY, NOBODY);
    }
  }
  {
    await using making = run(
      "initdb",
      ...["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
      ...["--locale=C", "-E", "UTF8", "--no-instructions"],
    );
    await assertSuccess(making);
  }
  await Deno.writeTextFile(
    `${data}/pg_hba.conf`,
    `host all postgres ${hostname}/32 trust\n` +
      `hostssl all ann ${hostname}/32 trust\n` +
      `hostssl all ben ${hostname}/32 password\n`,
  );
  const port = freePort();
  const program = run(
    "postgres",
    ...["-D", data, "-h", hostname, "-p", `${port}`, "-k", "", "-F"],
    ...["-c", "ssl=on", "-c", `ssl_cert_file=${files.cert}`],
    ...["-c", `ssl_key_file=${files.key}`],
  );
  await lineThat(program.stderr, /ready to accept connections/);
  return {
    port,
    async [Symbol.asyncDispose]() {
      program.interrupt(); // its other processes end with it
      await assertSuccess(program);
      await program[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const hasSetpriv = await isInstalled("setpriv");
const hasPostgres = hasSetpriv && await isInstalled("initdb") &&
  await isInstalled("postgres") && await isInstalled("psql");

function rows(connection: Postgres, sql: string) {
  return Array.fromAsync(query(connection, sql));
}

peerTest(
  hasPostgres,
  "postgres.ts queries PostgreSQL, plain and over TLS",
  async () => {
    await using database = await startDatabase();
    const { port } = database;
    await using psql = start(
      ["psql", "-h", hostname, "-p", `${port}`, "-U", "postgres", "-q"],
      [
        "CREATE TABLE words (id int, word text);",
        "INSERT INTO words VALUES (1, 'é'), (2, NULL), (3, '');",
        "CREATE ROLE ann LOGIN SUPERUSER;",
        "CREATE ROLE ben LOGIN PASSWORD 'secret';",
      ],
    );
    await assertSuccess(psql);

    await using plain = await connect({ port, framing });
    await login(plain, { user: "postgres" });
    assertEquals(await rows(plain, "SELECT * FROM words ORDER BY id"), [
      ["1", "é"],
      ["2", null],
      ["3", ""],
    ]);
    await assertRejects(
      () => rows(plain, "SELECT * FROM nowhere"),
      Error,
      '42P01: relation "nowhere" does not exist',
    );
    // Leaving a loop does not lose an answer to the next query.
    for await (
      const row of query(plain, "SELECT generate_series(1, 100000) n")
    ) {
      if (row[0] === "3") break;
    }
    assertEquals(await rows(plain, "SELECT 1 AS a; SELECT 2 AS b"), [
      ["1"],
      ["2"],
    ]);
    assertEquals(await rows(plain, ""), []);
    const [large] = await rows(plain, "SELECT repeat('x', 10000000) AS x");
    assertEquals(large?.[0]?.length, 10_000_000);

    await using secret = await connect({ port, framing });
    await login(secret, { user: "ann", tls });
    const sql =
      `SELECT ssl, usename FROM pg_stat_ssl NATURAL JOIN pg_stat_activity
    WHERE pid = pg_backend_pid()`;
    assertEquals(await rows(secret, sql), [["t", "ann"]]);

    const refused: [Login, string][] = [
      [{ user: "ann" }, "28000: no pg_hba.conf entry"],
      [{ user: "ben", tls }, "wants a password"],
    ];
    for (const [who, says] of refused) {
      await using other = await connect({ port, framing });
      await assertRejects(() => login(other, who), Error, says);
    }
    // An unexpected answer ends its connection, and no other.
    await using copying = await connect({ port, framing });
    await login(copying, { user: "postgres" });
    await assertRejects(
      () => rows(copying, "COPY words FROM STDIN"),
      FramingError,
      '"G"',
    );
    assertEquals((await rows(plain, "SELECT 1 AS a")).length, 1);

    await using example = startExample("protocols/postgres.ts", [], [
      ...["--port", `${port}`, "SELECT 6 * 7 AS answer"],
    ]);
    assertEquals(await assertSuccess(example), ['[ "42" ]']);
  },
);

/** A message as PostgreSQL sends it. */
function message(type: string, body: string, length = body.length + 4): string {
  return `${type}\0\0${String.fromCharCode(length >> 8, length & 0xff)}${body}`;
}

const READY = message("Z", "I");
const ONE_VALUE = message("D", "\0\x01\0\0\0\x01a");

const DAMAGED: [answer: string, name: string][] = [
  [message("D", "\0\x02\0\0\0\x01a"), "malformed"], // one of two values
  [`${ONE_VALUE}${message("D", "\0\x01\0\0\0\x09a")}`, "malformed"],
  [`${ONE_VALUE}${message("D", "\0")}`, "malformed"],
  [message("E", "Mno end"), "malformed"],
  [message("?", ""), "malformed"],
  ["T\0\0\0\x01", "malformed"], // less than the size of the length field
  ["T\x7f\x7f\x7f\x7f", "too-long"],
  [ONE_VALUE.slice(0, -1), "truncated"],
  [ONE_VALUE, "UnexpectedEof"],
  ["", "UnexpectedEof"],
];

Deno.test("postgres.ts ends with a named error if a message is damaged", async () => {
  let answer = "";
  await using server = serve(
    { hostname, port: 0, framing: unframed() },
    async (connection) => {
      await connection.receive();
      await connection.send(message("R", "\0\0\0\0") + READY);
      await connection.receive();
      if (answer !== "") await connection.send(answer);
    },
  );
  for (const [damaged, name] of DAMAGED) {
    answer = damaged;
    await using connection = await connect({ port: server.addr.port, framing });
    await login(connection, { user: "ann" });
    const error = await assertRejects(
      () => rows(connection, "SELECT 1"),
      Error,
    );
    assertEquals(
      error instanceof FramingError ? error.code : error.name,
      name,
      JSON.stringify(damaged),
    );
  }
});

Deno.test("postgres.ts logs in without a password, and ignores answers from before TLS", async () => {
  let answers: string[] = [];
  await using server = serve(
    { hostname, port: 0, framing: unframed(), onError: () => {} },
    async (connection) => {
      for (const answer of answers) {
        await connection.receive();
        await connection.send(answer);
      }
    },
  );
  const wantsPassword = message("R", "\0\0\0\x03");
  const cases: [
    answers: string[],
    tls: typeof tls | undefined,
    says: string,
  ][] = [
    [["N"], tls, "offers no TLS"],
    [[`S${message("R", "\0\0\0\0")}${READY}`], tls, "unread"],
    [["S", "no TLS"], tls, ""],
    [[wantsPassword], undefined, "wants a password"],
  ];
  for (const [given, tls, says] of cases) {
    answers = given;
    await using connection = await connect({ port: server.addr.port, framing });
    const who = { user: "ann", ...(tls && { tls }) };
    await assertRejects(() => login(connection, who), Error, says);
  }
  await using connection = await connect({ port: server.addr.port, framing });
  await assertRejects(() => login(connection, { user: "\0" }), TypeError);
  await assertRejects(() => rows(connection, "SELECT '\0'"), TypeError);
});
