import type { BenchPlan } from "./_bench_plan.ts";
import type { Command } from "./_command.ts";
import { codeOptions } from "./_connection_flags.ts";
import { optionLines, program, valueCode } from "./_program.ts";

/** The program of `bench`. */
export function benchCode(
  { flags }: Command,
  plan: BenchPlan,
): Promise<string> {
  const {
    place,
    chosen,
    messages,
    connections,
    rate,
    time,
    pipeline,
    answers,
    isJson,
  } = plan;
  const options = codeOptions(flags, place, chosen.code, "connect");
  const due = rate === undefined
    ? `      const due = performance.now();
      if (due >= end) return;
`
    : `      const due = start + sent++ * 1000 / ${rate};
      if (due >= end) return;
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
`;
  const values = messages.map((each) => valueCode(chosen, each));
  const [first = ""] = values;
  const message = messages.length === 1
    ? first
    : `messages[next++ % messages.length]!`;
  const body = `const connections = await Promise.all(
  Array.from({ length: ${connections} }, () => connect({
${optionLines(options, "    ")}  })),
);
const latencies: number[] = [];
const start = performance.now();
const end = start + ${time};
${rate === undefined ? "" : "let sent = 0;\n"}${
    messages.length === 1
      ? ""
      : `const messages = [${values.join(", ")}];\nlet next = 0;\n`
  }
await Promise.all(connections.map(async (connection) => {
  // So many requests of a connection are under way.
  await Promise.all(Array.from({ length: ${pipeline} }, async () => {
    for (;;) {
${due}${
    answers === 1
      ? `      await connection.request(${message});`
      : `      await Promise.all([
        connection.request(${message}),
        ...Array.from({ length: ${answers - 1} }, () => connection.receive()),
      ]);`
  }
      latencies.push(performance.now() - due);
    }
  }));
  await connection.close();
}));

latencies.sort((a, b) => a - b);
${
    isJson
      ? `const latencyAt = (percent: number) =>
  latencies[Math.floor(latencies.length * percent / 100)];
console.log(JSON.stringify({
  requests: latencies.length,
  requestsPerSecond: Math.round(latencies.length * 1000 / ${time}),
  latency: {
    p50: latencyAt(50),
    p90: latencyAt(90),
    p99: latencyAt(99),
    "p99.9": latencyAt(99.9),
  },
}));
`
      : `console.log(Math.round(latencies.length * 1000 / ${time}), "requests a second");
for (const percent of [50, 90, 99, 99.9]) {
  const index = Math.floor(latencies.length * percent / 100);
  console.log(\`p\${percent}\`, latencies[index]?.toFixed(3), "ms");
}
`
  }`;
  return program(["connect", ...chosen.imports], body);
}
