import type { Command } from "./_command.ts";
import { codeOptions } from "./_connection_flags.ts";
import {
  framingCode,
  optionLines,
  outputCode,
  program,
  showCode,
  textCode,
} from "./_program.ts";
import type { ProxyPlan } from "./_proxy_plan.ts";
import { literal } from "./_literal.ts";
import { UsageError } from "./_values.ts";

/** The program of `proxy`, without faults and files. */
export function proxyCode(
  { flags }: Command,
  plan: ProxyPlan,
): Promise<string> {
  const { chosen, format, listen, target, faults, record, pcap, guesses } =
    plan;
  const left = guesses
    ? "--guess"
    : faults !== undefined
    ? "faults"
    : record !== undefined
    ? "--record"
    : pcap !== undefined
    ? "--pcap"
    : undefined;
  if (left !== undefined) {
    throw new UsageError(`--print-code has no program for ${left}`);
  }
  const framing = framingCode(chosen, format);
  const isArrowed = format === "text" && !plan.isQuiet;
  const show = isArrowed
    ? `console.log(arrow, ${textCode(framing, "message")});`
    : showCode(framing, format, "message");
  const shows = plan.isQuiet
    ? ""
    : `    for (const message of decoder.decode(bytes)) ${show}\n`;
  const arrows = isArrowed ? [', ">"', ', "<"'] : ["", ""];
  const options = codeOptions(flags, target, "unframed()", "connect");
  const body = `${outputCode(format)}const framing = ${framing.code};
const server = serve({
${
    optionLines(
      Object.entries({ ...listen }).map(([name, value]) => ({
        name,
        code: literal(value),
      })),
    )
  }  framing: unframed(),
}, async (client) => {
  await using target = await connect({
${optionLines(options, "    ")}  });
  await Promise.all([relay(client, target${arrows[0]}), relay(target, client${
    arrows[1]
  })]);
});
console.error("Listening on", server.addr);
await server.finished;

/** Passes bytes on as they are, and shows the messages in them. */
async function relay(from: Connection, to: Connection${
    isArrowed ? ", arrow: string" : ""
  }) {
${
    plan.isQuiet
      ? ""
      : "  const decoder = new ChunkDecoder(framing);\n"
  }  for await (const bytes of from) {
${shows}    await to.send(bytes);
  }
${
    plan.isQuiet
      ? ""
      : `  for (const message of decoder.end()) ${show}\n`
  }  await to.closeWrite();
}
`;
  const imports = ["connect", "serve", "unframed", "type Connection"];
  if (!plan.isQuiet) imports.push("ChunkDecoder");
  return program([...imports, ...framing.imports], body);
}
