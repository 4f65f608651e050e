import type { Command } from "./_command.ts";
import { codeOptions } from "./_connection_flags.ts";
import { literal } from "./_literal.ts";
import {
  bytesCode,
  type FramingCode,
  optionLines,
  program,
  showCode,
  textCode,
} from "./_program.ts";
import type { ReplayPlan } from "./_replay_plan.ts";

/** The program of `replay`. */
export function replayCode(
  { flags }: Command,
  plan: ReplayPlan,
): Promise<string> {
  const { file, place, chosen, speed, compares, wait } = plan;
  const options = codeOptions(flags, place, chosen.code, "connect");
  const pause = speed === Infinity
    ? ""
    : `    await until(start + (step.time - first) / ${literal(speed)});\n`;
  const comparison = compares
    ? `
/** Tells an answer that is not the one that was recorded. */
function compare(expected: Uint8Array, answer: Uint8Array | undefined) {
  if (answer?.toHex() === expected.toHex()) return;
  differences++;
${
      plan.isQuiet ? "" : `  console.log(\`- \${shown(expected)}\`);
  if (answer !== undefined) console.log(\`+ \${shown(answer)}\`);
`
    }}
${
      plan.isQuiet ? "" : `
function shown(bytes: Uint8Array): string {
  return ${
        plan.format === "hex"
          ? "bytes.toHex()"
          : "new TextDecoder().decode(bytes)"
      };
}
`
    }`
    : "";
  const body = `interface Step {
  readonly time: number;
  readonly connection?: number;
  readonly from?: "client" | "server";
  readonly event?: "open" | "end" | "reset";
  readonly text?: string;
  readonly hex?: string;
}

const recording = await Deno.readTextFile(${literal(file)});
const steps: Step[] = recording.split("\\n").filter((line) => line !== "")
  .map((line) => JSON.parse(line)).filter(({ from }) => from !== undefined);
${
    speed === Infinity
      ? ""
      : "const first = steps[0]?.time ?? 0;\nconst start = performance.now();\n"
  }${compares ? "let differences = 0;\n" : ""}
await Promise.all(
  Map.groupBy(steps, ({ connection = 1 }) => connection).entries().map(replay),
);
${compares ? "Deno.exit(differences > 0 ? 1 : 0);\n" : ""}
/** Sends what was sent, in the order in which it was recorded. */
async function replay([number, ofConnection]: [number, Step[]]) {
  await using connection = await connect({
${optionLines(options, "    ")}  });
  for (const step of ofConnection) {
    const isMessage = step.event === undefined;
    if (step.from === "server") {
      if (!isMessage) continue;
      // An answer may be missing.
      const signal = AbortSignal.timeout(${wait});
      const answer = await connection.receive({ signal }).catch((error) => {
        if (!signal.aborted) throw error;
      });
      ${answerCode(plan)}
      continue;
    }
${pause}    if (step.event === "end") await connection.closeWrite();
    if (!isMessage) continue;
    const message = ${messageCode(chosen)};
    ${
    compares || plan.isQuiet
      ? ""
      : `${shownCode(plan, "client", "message")}\n    `
  }await connection.send(message);
  }
}

/** The bytes of a message that was recorded. */
function bytesOf({ text = "", hex }: Step): Uint8Array<ArrayBuffer> {
  return hex === undefined
    ? new TextEncoder().encode(text)
    : Uint8Array.fromHex(hex);
}
${comparison}`;
  return program(["connect", ...chosen.imports], body);
}

/** The code for an answer. */
function answerCode(plan: ReplayPlan): string {
  if (!plan.compares) {
    return plan.isQuiet
      ? "if (answer === undefined) break;"
      : `if (answer === undefined) break;
      ${shownCode(plan, "server", "answer")}`;
  }
  return `compare(
        bytesOf(step),
        answer === undefined ? undefined : ${bytesCode(plan.chosen, "answer")},
      );`;
}

/** The message of a step, in the type that the framing takes. */
function messageCode({ gives }: FramingCode): string {
  if (gives === "bytes") return "bytesOf(step)";
  const text = "new TextDecoder().decode(bytesOf(step))";
  return gives === "text" ? text : `JSON.parse(${text})`;
}

function shownCode(
  { format, chosen }: ReplayPlan,
  side: "client" | "server",
  message: string,
): string {
  if (format === "json") {
    return showCode(chosen, "json", message, {
      from: `"${side}"`,
      connection: "number",
    });
  }
  const shown = format === "hex"
    ? `${bytesCode(chosen, message)}.toHex()`
    : chosen.gives === "bytes"
    ? `new TextDecoder().decode(${message})`
    : textCode(chosen, message);
  return `console.log(\`#\${number} ${
    side === "client" ? ">" : "<"
  }\`, ${shown});`;
}
