import type { Command } from "./_command.ts";
import type { ConnectPlan } from "./_connect_plan.ts";
import { codeOptions } from "./_connection_flags.ts";
import {
  framingCode,
  heartbeatCode,
  indented,
  inputCode,
  messagesCode,
  optionLines,
  outputCode,
  program,
  sentCode,
  showCode,
  toolProgram,
} from "./_program.ts";
import { parsePlace } from "./_values.ts";

/** The program of `connect`: what it does in a pipe. */
export function connectCode(
  { flags, args }: Command,
  plan: ConnectPlan,
): Promise<string> {
  const { chosen, format, input, messages, count, wait } = plan;
  if (plan.guesses) return toolProgram("--guess", "connect", flags, args);
  const framing = framingCode(chosen, format);
  const options = codeOptions(
    flags,
    parsePlace(args[0] ?? ""),
    framing.code,
    "connect",
  );
  options.push(...heartbeatCode(framing, plan.heartbeat));
  const source = messages.length > 0
    ? messagesCode(messages, framing)
    : inputCode(input, chosen.isRaw);
  const sent = sentCode(framing, source);
  const sending = `async function sendAll() {
  const messages = ${indented(source.source).trimStart()};
  for await (const message of messages) await connection.send(${sent});
${wait === undefined ? "  await connection.closeWrite();" : "  restart();"}
}
`;
  const show = showCode(framing, format, "message", {
    from: '"server"',
  });
  const body = `await using connection = await connect({
${optionLines(options)}});
${outputCode(format)}
${wait === undefined ? "" : quietCode(wait)}${sending}
const sending = sendAll();
${count === undefined ? "" : "let count = 0;\n"}${
    wait === undefined
      ? `for await (const message of connection) {
  ${show}
${count === undefined ? "" : `  if (++count === ${count}) break;\n`}}
`
      : `try {
  for (;;) {
    const message = await connection.receive({ signal: quiet.signal });
    if (message === undefined) break;
    ${show}
${
        count === undefined
          ? ""
          : `    if (++count === ${count}) break;\n`
      }    restart();
  }
} catch (error) {
  if (!quiet.signal.aborted) throw error;
}
clearTimeout(timer);
`
  }${
    count === undefined ? "await sending;\n" : `await connection.close();
if (count < ${count}) throw new Error(\`Received \${count} of ${count} messages\`);
Deno.exit(); // standard input may be open still
`
  }`;
  return program(["connect", ...framing.imports, ...source.imports], body);
}

function quietCode(wait: number): string {
  return `// Ends when nothing has come for ${wait} ms.
const quiet = new AbortController();
let timer: ReturnType<typeof setTimeout> | undefined;
function restart() {
  clearTimeout(timer);
  const { bytesReceived } = connection.stats();
  timer = setTimeout(() => {
    // A long message may be arriving.
    if (connection.stats().bytesReceived > bytesReceived) restart();
    else quiet.abort();
  }, ${wait});
}

`;
}
