import type { Command } from "./_command.ts";
import { codeOptions, servingLimits } from "./_connection_flags.ts";
import { literal } from "./_literal.ts";
import type { ListenPlan } from "./_listen_plan.ts";
import {
  type FramingCode,
  framingCode,
  heartbeatCode,
  indented,
  inputCode,
  optionLines,
  outputCode,
  program,
  sentCode,
  showCode,
  textCode,
  toolProgram,
  valueCode,
} from "./_program.ts";
import { shellFor } from "./_shell_command.ts";

/** The program of `listen`: what it does in a pipe. */
export function listenCode(
  { flags, args }: Command,
  plan: ListenPlan,
): Promise<string> {
  const { chosen, format, input, answer, place, count, endsWithFirst } = plan;
  if (plan.guesses) return toolProgram("--guess", "listen", flags, args);
  const framing = framingCode(chosen, format);
  const options = codeOptions(flags, place, framing.code, "serve");
  const limits = Object.entries(servingLimits(flags, endsWithFirst));
  options.push(...limits.map(([name, limit]) => ({ name, code: `${limit}` })));
  options.push(...heartbeatCode(framing, plan.heartbeat));
  if (endsWithFirst) {
    const code = `(error, connection) => {
    console.error(error);
    if (connection !== undefined) Deno.exitCode = 1;
  }`;
    options.push({ name: "onError", code });
  }
  const imports = ["serve", ...framing.imports];
  const show = showCode(framing, format, "message", {
    from: '"client"',
    connection: "number",
  });
  const isNumbered = !plan.isQuiet && format === "json";
  const inLoop = [
    ...(count === undefined ? [] : [
      `if (count === ${count}) break; // by another connection`,
      "count++;",
    ]),
    ...(plan.isQuiet ? [] : [show]),
    ...answerCode(plan, framing),
    ...(count === undefined ? [] : [
      `if (count === ${count}) {`,
      `  server.shutdown({ timeout: 500 });`,
      `  break;`,
      `}`,
    ]),
  ];
  const loop = [
    "for await (const message of connection) {",
    ...inLoop.map((line) => `  ${line}`),
    "}",
  ];
  const typed = answer === "typed" ? inputCode(input, chosen.isRaw) : undefined;
  if (answer === "broadcast" || typed !== undefined) imports.push("broadcast");
  if (typed !== undefined) imports.push(...typed.imports);
  if (typed !== undefined) loop.push("await sending;");
  const inHandler = endsWithFirst
    ? [
      "try {",
      ...loop.map((line) => `  ${line}`),
      "} finally {",
      "  server.shutdown();",
      "}",
    ]
    : loop;
  const body = [
    outputCode(format),
    count === undefined ? "" : "let count = 0;\n",
    isNumbered ? "let accepted = 0;\n" : "",
    typed === undefined
      ? ""
      : "const connected = Promise.withResolvers<void>();\nconst sending = connected.promise.then(sendAll);\n",
    `const server = serve({\n${
      optionLines(options)
    }}, async (connection) => {\n`,
    isNumbered ? "  const number = ++accepted;\n" : "",
    typed === undefined ? "" : "  connected.resolve();\n",
    ...inHandler.map((line) => `  ${line}\n`),
    `});\nconsole.error("Listening on", server.addr);\n`,
    typed === undefined ? "" : `
/** Sends standard input to all that are connected. */
async function sendAll() {
  const messages = ${indented(typed.source).trimStart()};
  for await (const message of messages) {
    await broadcast(server.connections, ${sentCode(framing, typed)}, {
      slow: "wait",
    });
  }
  for (const connection of server.connections) connection.closeWrite();
}

`,
    "await server.finished;\n",
    count === undefined
      ? ""
      : `if (count < ${count}) throw new Error(\`Received \${count} of ${count} messages\`);\n`,
    typed === undefined
      ? ""
      : "Deno.exit(); // standard input may be open still\n",
  ].join("");
  return program(imports, body);
}

function answerCode(
  { answer, reply, command, format, chosen }: ListenPlan,
  framing: FramingCode,
): string[] {
  switch (answer) {
    case "echo":
      return ["await connection.send(message);"];
    case "reply":
      return [`await connection.send(${valueCode(framing, reply)});`];
    case "broadcast":
      return [
        "const others = [...server.connections].filter((each) => each !== connection);",
        "await broadcast(others, message);",
      ];
    case "exec": {
      const isBinary = chosen.isRaw || format === "binary";
      const output = framing.gives === "bytes"
        ? "stdout"
        : isBinary
        ? "new TextDecoder().decode(stdout)"
        : 'new TextDecoder().decode(stdout).replace(/\\r?\\n$/, "")';
      const shell = shellFor(command, Deno.build.os);
      const answer = framing.gives === "values of JSON"
        ? `JSON.parse(${output})`
        : output;
      return [
        `const child = new Deno.Command(${literal(shell.program)}, {`,
        `  args: [${shell.args.map((each) => literal(each)).join(", ")}],`,
        ...(shell.windowsRawArguments ? ["  windowsRawArguments: true,"] : []),
        `  stdin: "piped",`,
        `  stdout: "piped",`,
        `}).spawn();`,
        `const input = new Blob([${textCode(framing, "message")}]).stream();`,
        `const fed = input.pipeTo(child.stdin).catch(() => {});`,
        `const { stdout } = await child.output();`,
        `await fed;`,
        `await connection.send(${answer});`,
      ];
    }
    case "discard":
    case "typed":
      return [];
  }
}
