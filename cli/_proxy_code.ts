import type { Command } from "./_command.ts";
import { codeOptions } from "./_connection_flags.ts";
import { type Faults, isRandom, PIECES_A_SECOND } from "./_faults.ts";
import { literal } from "./_literal.ts";
import {
  bytesCode,
  type FramingCode,
  framingCode,
  optionLines,
  outputCode,
  program,
  showCode,
  textCode,
  toolProgram,
} from "./_program.ts";
import type { ProxyPlan } from "./_proxy_plan.ts";

/** The program of `proxy`. */
export function proxyCode(
  { flags, args }: Command,
  plan: ProxyPlan,
): Promise<string> {
  const { chosen, listen, target, faults, record } = plan;
  if (plan.guesses) return toolProgram("--guess", "proxy", flags, args);
  if (plan.pcap !== undefined) {
    return toolProgram("The capture of --pcap", "proxy", flags, args);
  }
  const looks = !plan.isQuiet || record !== undefined;
  const isRandomized = faults !== undefined && isRandom(faults);
  const isNumbered = isRandomized || looks && needsNumber(plan);
  // A Deno connection cannot be reset, a Node connection can.
  const isReset = faults !== undefined && faults.resetAfter !== Infinity;
  // A recording has the bytes as they came.
  const framing = record === undefined
    ? framingCode(chosen, plan.format)
    : chosen;
  const call = (from: string, to: string, side: string) =>
    `relay(${from}, ${to}, "${side}"${isNumbered ? ", number" : ""})`;
  const place = Object.entries({ ...listen }).map(([name, value]) => ({
    name,
    code: literal(value),
  }));
  const body = [
    plan.isQuiet ? "" : outputCode(plan.format),
    looks ? `const framing = ${framing.code};\n` : "",
    record === undefined ? "" : recordingCode(record, chosen.flags),
    isNumbered ? "let accepted = 0;\n" : "",
    `const server = ${isReset ? "await serve" : "serve"}({
${optionLines(place)}  framing: unframed(),
}, async (client) => {
`,
    isNumbered ? "  const number = ++accepted;\n" : "",
    `  await using target = await connect({
${optionLines(codeOptions(flags, target, "unframed()", "connect"), "    ")}  });
`,
    record === undefined ? "" : `  ${eventCode('"client"', "open")}\n`,
    `  await Promise.all([
    ${call("client", "target", "client")},
    ${call("target", "client", "server")},
  ]);
});
console.error("Listening on", server.addr);
await server.finished;

`,
    relayCode(plan, { looks, isNumbered }),
    looks ? lookCode(plan, framing, isNumbered) : "",
  ].join("");
  const doors = ["connect", "serve"];
  return program(
    [
      ...(isReset ? [] : doors),
      "unframed",
      "type Connection",
      ...(looks ? ["ChunkDecoder", ...framing.imports] : []),
    ],
    body,
    { node: isReset ? doors : [] },
  );
}

function needsNumber({ format, record }: ProxyPlan): boolean {
  return record !== undefined || format === "json";
}

/** Opens a recording, as `replay` reads it. */
function recordingCode(path: string, framing: readonly string[]): string {
  const header = (flags: readonly string[]) =>
    `note(JSON.stringify({ recording: 1, started: new Date(), framing: ${
      literal(flags)
    } }));`;
  return `const recording = await Deno.open(${literal(path)}, {
  write: true,
  create: true,
  truncate: true,
});
${header(framing)}
${tellsLineEnd(framing) ? "let knowsLineEnd = false;\n" : ""}
/** Writes a line of the recording. */
function note(line: string) {
  const bytes = new TextEncoder().encode(\`\${line}\\n\`);
  for (let at = 0; at < bytes.length;) {
    at += recording.writeSync(bytes.subarray(at));
  }
}
${
    tellsLineEnd(framing)
      ? `
/** Lines do not tell how they ended, and a replay ends them as the client does. */
function noteLineEnd(bytes: Uint8Array) {
  const end = bytes.indexOf(0x0a);
  if (knowsLineEnd || end === -1) return;
  knowsLineEnd = true;
  if (bytes[end - 1] !== 0x0d) return;
  ${header([...framing, "--eol", "crlf"])}
}
`
      : ""
  }
`;
}

function tellsLineEnd(framing: readonly string[]): boolean {
  return framing.includes("--lines") && !framing.includes("--eol");
}

function eventCode(from: string, event: string): string {
  return `note(JSON.stringify({ time: performance.now(), connection: number, from: ${from}, event: "${event}" }));`;
}

/** The code that forwards the bytes of one direction. */
function relayCode(
  { faults, record, chosen }: ProxyPlan,
  { looks, isNumbered }: { looks: boolean; isNumbered: boolean },
): string {
  const number = isNumbered ? ", number" : "";
  const decoder = looks ? "  const decoder = new ChunkDecoder(framing);\n" : "";
  const look = [
    record !== undefined && tellsLineEnd(chosen.flags)
      ? 'if (side === "client") noteLineEnd(bytes);'
      : "",
    looks ? `await look(() => decoder.decode(bytes), side${number});` : "",
  ].filter((line) => line !== "");
  const end = [
    looks ? `await look(() => decoder.end(), side${number});` : "",
    record === undefined ? "" : eventCode("side", "end"),
  ];
  const head = `/** Passes on what \`side\` sends, ${
    faults === undefined ? "as it is" : "as a bad network does"
  }${looks ? ", and looks at the messages in it" : ""}. */
async function relay(
  from: Connection,
  to: Connection,
  side: "client" | "server",
${isNumbered ? "  number: number,\n" : ""}) {
`;
  if (faults === undefined) {
    return `${head}${decoder}  for await (const bytes of from) {
${indented(4, ...look)}    await to.send(bytes);
  }
${indented(2, ...end)}  await to.closeWrite();
}
`;
  }
  return head + decoder + faultCode(faults, look, end);
}

function indented(spaces: number, ...lines: string[]): string {
  return lines.filter((line) => line !== "")
    .map((line) => `${" ".repeat(spaces)}${line}\n`).join("");
}

/** The rest of `relay()`, with faults, like `FaultyLine` in the tool. */
function faultCode(
  faults: Faults,
  look: readonly string[],
  end: readonly string[],
): string {
  const { latency, jitter, rate, cut, seed } = faults;
  const { stallAfter, resetAfter, halfCloseAfter } = faults;
  const isDelayed = latency > 0 || jitter > 0;
  const isCut = cut !== undefined;
  const isRandomCut = isCut && cut.max > cut.min;
  const places = [stallAfter, resetAfter, halfCloseAfter]
    .filter((place) => place !== Infinity);
  const drops = halfCloseAfter !== Infinity;
  const seedOf = `${seed} + 2 * number + (side === "server" ? 1 : 0)`;
  const state = [
    isRandomCut ? `const cutRandom = randomFrom(${seedOf});` : "",
    jitter > 0 ? `const jitterRandom = randomFrom(~(${seedOf}));` : "",
    isDelayed ? "let lastDue = 0;" : "",
    isCut ? "let cutLeft = 0;" : "",
    rate === Infinity ? "" : "let freeAt = 0;",
    places.length === 0 ? "" : "let passed = 0;",
    drops ? "let isDropping = false;" : "",
  ];
  const wait = [
    `${latency > 0 ? ` + ${latency}` : ""}`,
    `${jitter > 0 ? ` + ${jitter} * jitterRandom()` : ""}`,
  ].join("");
  // So much is on its way before the sender has to wait, as in a network.
  const line = `  type Piece = { bytes: Uint8Array<ArrayBuffer>; due: number };
  const line = new TransformStream<Piece["bytes"], Piece>({
    ${look.length === 0 ? "" : "async "}transform(bytes, controller) {
${indented(6, ...look)}      // What is sent later arrives later.
      lastDue = Math.max(lastDue, performance.now()${wait});
      controller.enqueue({ bytes, due: lastDue });
    },
  }, undefined, {
    highWaterMark: 1024 * 1024, // so much is on its way before the sender waits
    size: ({ bytes }) => bytes.length,
  });
`;
  const least = [
    "bytes.length - at",
    ...(isCut ? ["cutLeft"] : []),
    ...(rate === Infinity
      ? []
      : [`${Math.max(1, Math.ceil(rate / PIECES_A_SECOND))}`]),
    ...places.map((place) => `${place} - passed`),
  ];
  const length = least.length === 1
    ? "bytes.length"
    : `Math.min(${least.join(", ")})`;
  const range = isCut ? cut.max - cut.min + 1 : 0;
  const cutLength = isRandomCut
    ? `${cut?.min} + Math.floor(cutRandom() * ${range})`
    : `${cut?.min}`;
  const acts = [
    resetAfter === Infinity ? "" : `if (passed >= ${resetAfter}) {
        to.abort(new Error("The connection was reset, as was asked for"));
        return from.abort();
      }`,
    drops
      ? `if (passed >= ${halfCloseAfter}) {
        isDropping = true;
        await to.closeWrite();
        break;
      }`
      : "",
    stallAfter === Infinity ? "" : `if (passed >= ${stallAfter}) {
        // Nothing more passes, and the connection stays.
        return await Promise.race([from.closed, to.closed]);
      }`,
  ];
  return `${indented(2, ...state)}${isDelayed ? line : ""}  for await (const ${
    isDelayed
      ? "{ bytes, due } of from.readable.pipeThrough(line)"
      : "bytes of from"
  }) {
${indented(4, ...(isDelayed ? [] : look))}${
    indented(4, drops ? "if (isDropping) continue;" : "")
  }${indented(4, isDelayed ? "await until(due);" : "")}    let at = 0;
    while (at < bytes.length) {
${
    indented(
      6,
      isCut ? `if (cutLeft === 0) cutLeft = ${cutLength};` : "",
      `const length = ${length};`,
      isCut ? "cutLeft -= length;" : "",
      rate === Infinity
        ? ""
        : `freeAt = Math.max(freeAt, performance.now()) + length * 1000 / ${rate};`,
      rate === Infinity ? "" : "await until(freeAt);",
      isCut ? "await until(performance.now() + 1); // a read for each" : "",
      "await to.send(bytes.subarray(at, at + length));",
      "await to.flush();",
      "at += length;",
      places.length === 0 ? "" : "passed += length;",
      ...acts,
    )
  }    }
  }
${indented(2, ...end)}  await to.closeWrite();
}
`;
}

/** The code for the messages of one direction. */
function lookCode(
  { format, isQuiet, record }: ProxyPlan,
  framing: FramingCode,
  isNumbered: boolean,
): string {
  const types: Readonly<Record<FramingCode["gives"], string>> = {
    bytes: "Uint8Array<ArrayBuffer>",
    text: "string",
    "values of JSON": "unknown",
  };
  const text = framing.gives === "bytes"
    ? "new TextDecoder().decode(message)"
    : textCode(framing, "message");
  const show = format === "text"
    ? `console.log(side === "client" ? ">" : "<", ${text});`
    : showCode(framing, format, "message", {
      from: "side",
      ...(isNumbered && { connection: "number" }),
    });
  const json = `toJson(side, ${bytesCode(framing, "message")}, number)`;
  const lines = [
    isQuiet ? "" : show,
    record === undefined ? "" : `note(${json});`,
  ];
  return `
/** ${
    [isQuiet ? "" : "Shows", record === undefined ? "" : "records"]
      .filter((each) => each !== "").join(" and ").replace(/^r/, "R")
  } messages. */
async function look(
  decode: () => readonly ${types[framing.gives]}[],
  side: "client" | "server",
${isNumbered ? "  number: number,\n" : ""}) {
  let messages;
  try {
    messages = decode();
  } catch (error) {
    return console.error("Bytes that do not fit still pass:", side, error);
  }
  for (const message of messages) {
${indented(4, ...lines)}  }
}
`;
}
