import type { Command } from "./_command.ts";
import { codeOptions } from "./_connection_flags.ts";
import { literal } from "./_literal.ts";
import { framingCode, optionLines, program } from "./_program.ts";
import type { ReplayPlan } from "./_replay_plan.ts";

/** The program of `replay`. */
export function replayCode(
  { flags }: Command,
  plan: ReplayPlan,
): Promise<string> {
  const { file, place, chosen, speed, compares } = plan;
  const framing = framingCode(chosen, "text");
  const options = codeOptions(flags, place, framing.code, "connect");
  const isJson = framing.gives === "values of JSON";
  const [received, sent] = isJson
    ? ["JSON.stringify(await connection.receive())", "JSON.parse(text)"]
    : ["await connection.receive()", "text"];
  const pause = speed === Infinity
    ? ""
    : `    const left = start + (time - first) / ${
      literal(speed)
    } - performance.now();
    await new Promise((resolve) => setTimeout(resolve, left));
`;
  const show = compares
    ? `if (answer !== text) {
        console.log(\`- \${text}\\n+ \${answer}\`);
        differences++;
      }`
    : "console.log(`#${number} < ${answer}`);";
  const body = `const recording = await Deno.readTextFile(${literal(file)});
const steps = recording.trim().split("\\n").map((line) => JSON.parse(line))
  .filter(({ from }) => from !== undefined);
const first = steps[0].time;
const start = performance.now();
${compares ? "let differences = 0;\n" : ""}
await Promise.all(
  Map.groupBy(steps, ({ connection }) => connection).entries().map(replay),
);
${compares ? "Deno.exit(differences > 0 ? 1 : 0);\n" : ""}
/** Sends what was sent, in the order in which it was recorded. */
async function replay([number, ofConnection]: [number, typeof steps]) {
  await using connection = await connect({
${optionLines(options, "    ")}  });
  for (const { time, from, event, text } of ofConnection) {
    if (from === "server") {
      if (text === undefined) continue;
      const answer = ${received};
      ${show}
      continue;
    }
${pause}    if (event === "end") await connection.closeWrite();
    else if (text !== undefined) {
      ${
    compares ? "" : "console.log(`#${number} > ${text}`);\n      "
  }await connection.send(${sent});
    }
  }
}
`;
  return program(["connect", ...framing.imports], body);
}
