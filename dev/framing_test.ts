import { assert, assertEquals } from "@std/assert";
import * as framing from "../framing.ts";

/**
 * Uses each framing once. It also runs in other runtimes, from its source text, so it
 * uses only its argument and globals that every runtime has.
 */
async function useEachFraming(
  {
    asJson,
    assembled,
    asText,
    ChunkDecoder,
    ChunkEncoder,
    contentLength,
    delimited,
    DelimiterStream,
    fixedLength,
    FrameDecoderStream,
    FrameEncoderStream,
    FramingError,
    jsonSequence,
    lengthPrefixed,
    lines,
    mapped,
    netstrings,
    sequence,
    unframed,
  }: typeof framing,
): Promise<unknown[]> {
  function roundTrip<In, Out>(
    framing: framing.Framing<In, Out>,
    messages: Out[],
  ): unknown {
    const decoder = new ChunkDecoder(framing);
    const encoder = new ChunkEncoder(framing);
    const received: unknown[] = messages.flatMap((message) =>
      [...encoder.encode(message)].flatMap((byte) =>
        decoder.decode(Uint8Array.of(byte))
      )
    );
    return [...received, ...decoder.end()].map((message) =>
      message instanceof Uint8Array
        ? new TextDecoder().decode(message)
        : message
    );
  }
  const results = [
    roundTrip(delimited(["\r\n", "\n"]), ["a", "→"]),
    roundTrip(lines(), ["a", "→"]),
    roundTrip(lengthPrefixed({ fieldSize: 8, littleEndian: true }), ["a", ""]),
    roundTrip(lengthPrefixed({ fieldSize: "varint" }), ["x".repeat(200)]),
    roundTrip(fixedLength(2), ["ab"]),
    roundTrip(netstrings(), ["a", ""]),
    roundTrip(unframed(), ["ab"]),
    roundTrip(asText(netstrings()), ["→"]),
    roundTrip(asJson(delimited("\n")), [{ a: [1] }]),
    roundTrip(mapped(lines(), { decode: Number, encode: String }), [12]),
    roundTrip(contentLength(), ["→"]),
    roundTrip(jsonSequence(), [{ a: 1 }, 2, "→"]),
    roundTrip(sequence(lines(), () => asText(netstrings())), ["a", "b\n"]),
    roundTrip(
      assembled(lines(), () =>
        function* (line) {
          yield* line;
        }),
      ["ab", "→"],
    ),
    roundTrip<number, number>(
      {
        decoder: () => ({
          decode: (input) => input.length > 0 ? input.take(1)[0] : undefined,
        }),
        encoder: () => ({
          encode: (byte, output) => output.writeByte(byte),
        }),
      },
      [1, 2],
    ),
  ];
  for (
    const decoded of [
      new FrameDecoderStream(lines({ maxLength: 2 })),
      new DelimiterStream("\n", { maxLength: 2 }),
    ]
  ) {
    const sent = new ReadableStream<string>({
      start(controller) {
        for (const line of ["a", "b", "long"]) controller.enqueue(line);
        controller.close();
      },
    });
    const reader = sent.pipeThrough(new FrameEncoderStream(lines()))
      .pipeThrough<unknown>(decoded).getReader();
    try {
      for (;;) results.push(String((await reader.read()).value));
    } catch (error) {
      results.push(error instanceof FramingError ? error.code : String(error));
    }
  }
  return results;
}

const EXPECTED = [
  ["a", "→"],
  ["a", "→"],
  ["a", ""],
  ["x".repeat(200)],
  ["ab"],
  ["a", ""],
  ["a", "b"],
  ["→"],
  [{ a: [1] }],
  [12],
  ["→"],
  [{ a: 1 }, 2, "→"],
  ["a", "b\n"],
  ["a", "b", "→"],
  [1, 2],
  "a",
  "b",
  "too-long",
  "97",
  "98",
  "too-long",
];

/** The standard output of a program, or `undefined` if it is not installed. */
async function outputOf(
  command: string,
  args: string[],
  input: string = "",
): Promise<string | undefined> {
  let process: Deno.ChildProcess;
  try {
    process = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const output = process.output();
  const [{ success, stdout, stderr }] = await Promise.all([
    output,
    ReadableStream.from([new TextEncoder().encode(input)]).pipeTo(
      process.stdin,
    ),
  ]);
  const errors = new TextDecoder().decode(stderr);
  // A program passed as a data URL would fill the screen.
  assert(
    success,
    `${command} failed: ${errors.replaceAll(/data:[^,]*,\S{80,}/g, "data:")}`,
  );
  return new TextDecoder().decode(stdout);
}

Deno.test("framing.ts works in Deno", async () => {
  assertEquals(await useEachFraming(framing), EXPECTED);
});

Deno.test("framing.ts works in Node as a single file without imports", async () => {
  const bundle = await outputOf("deno", [
    "bundle",
    "--quiet",
    "--platform=browser",
    new URL("../framing.ts", import.meta.url).href,
  ]);
  assert(bundle !== undefined);
  assert(!/^\s*import\b|\brequire\(|["']node:/m.test(bundle));
  const url = `data:text/javascript,${encodeURIComponent(bundle)}`;
  const program = `
    const framing = await import(${JSON.stringify(url)});
    if ("Deno" in globalThis) throw new Error("Not another runtime");
    const results = await (${useEachFraming})(framing);
    console.log(JSON.stringify(results));
  `;
  const output = await outputOf("node", ["--input-type=module", "-"], program);
  if (output === undefined) {
    // deno-lint-ignore no-console
    console.log("Skipped, as there is no node on the path");
    return;
  }
  assertEquals(JSON.parse(output), EXPECTED);
});
