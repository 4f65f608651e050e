import { assert, assertEquals } from "@std/assert";
import { ChunkEncoder, type Sendable } from "../framing.ts";
import { parseFlags } from "./_flags.ts";
import { FRAMING_FLAGS } from "./_framing_flag_table.ts";
import { chooseFraming } from "./_framing_flags.ts";
import { guess, hintFor, keepSample, Sample } from "./_guess.ts";
import { guessReport, shellWords } from "./_guess_report.ts";
import { randomFrom } from "./_faults.ts";
import { bytesOf } from "./_values.ts";

/** A stream of messages, with one read for each message or one read for all. */
function sampleOf(
  flags: string[],
  messages: readonly Sendable[],
  { isOneRead = false, drop = 0 } = {},
): Sample {
  const { framing } = chooseFraming(
    parseFlags(flags, FRAMING_FLAGS.flags).flags,
  );
  const encoder = new ChunkEncoder(framing);
  const frames = messages.map((message) => encoder.encode(message));
  const sample = new Sample();
  if (!isOneRead) { for (const frame of frames) sample.add(frame); }
  else {
    const all = new Uint8Array(frames.flatMap((frame) => [...frame]));
    sample.add(all.subarray(0, all.length - drop));
  }
  return sample;
}

function best(...samples: Sample[]): string {
  return shellWords(guess(samples)[0]?.flags ?? []);
}

const TEXTS = [
  "hello",
  "how are you?",
  "fine",
  "a somewhat longer message",
  "bye",
];
const JSONS = [1, 2, 3].map((id) =>
  `{"jsonrpc":"2.0","id":${id},"method":"ping"}`
);

function randomMessages(count: number): Uint8Array[] {
  const random = randomFrom(7);
  return Array.from(
    { length: count },
    () => Uint8Array.from({ length: 5 + random() * 60 }, () => random() * 256),
  );
}

const BINARIES = randomMessages(12);

const CASES: [flags: string[], messages: readonly Sendable[]][] = [
  [["--lines"], TEXTS],
  [["--lines"], JSONS],
  [["--lines", "--eol", "crlf"], TEXTS],
  [["--delimiter", "\\0"], TEXTS],
  [["--delimiter", "\\x1c\\r"], TEXTS],
  [["--netstrings"], TEXTS],
  [["--content-length"], JSONS],
  [["--length", "4,decimal"], TEXTS],
  [["--length", "4,hex,adjust=-4"], TEXTS],
  [["--netstrings"], BINARIES],
  [["--length", "4"], TEXTS],
  [["--length", "4"], BINARIES],
  [["--length", "4,le"], BINARIES],
  [["--length", "2"], TEXTS],
  [["--length", "2,le"], JSONS],
  [["--length", "1"], TEXTS],
  [["--length", "4,adjust=-4"], BINARIES],
  [["--varint"], [...TEXTS, "x".repeat(300), ...JSONS]],
];

for (const [flags, messages] of CASES) {
  const [first = ""] = messages;
  const what = typeof first === "string" ? first : "bytes";
  Deno.test(`guess() finds ${flags.join(" ")} of "${what}"`, () => {
    const expected = shellWords(flags);
    assertEquals(best(sampleOf(flags, messages)), expected);
    assertEquals(
      best(sampleOf(flags, messages, { isOneRead: true })),
      expected,
    );
    // The last message is incomplete.
    assertEquals(
      best(sampleOf(flags, messages, { isOneRead: true, drop: 1 })),
      expected,
    );
  });
}

Deno.test("guess() finds a header with a length in the middle", () => {
  // Modbus TCP: transaction, protocol, length, unit and function.
  const frames = [[0, 1, 0, 0, 0, 6, 17, 3, 0, 107, 0, 3], [
    0,
    2,
    0,
    0,
    0,
    9,
    17,
    3,
    6,
    1,
    2,
    3,
    4,
    5,
    6,
  ]];
  const sample = new Sample();
  for (let round = 0; round < 3; round++) {
    for (const frame of frames) sample.add(new Uint8Array(frame));
  }
  const all = guess([sample]).flatMap(({ flags, alternatives }) =>
    [flags, ...alternatives].map(shellWords)
  );
  assert(all.includes("--length 2,offset=4,strip=0"), all.join("\n"));
});

Deno.test("keepSample() limits the samples that it keeps", () => {
  const samples: Sample[] = [];
  for (let index = 0; index < 1000; index++) {
    keepSample(samples, new Sample());
  }
  assertEquals(samples.length, 64);
});

Deno.test("guess() finds JSON values with nothing between them", () => {
  const sample = new Sample();
  sample.add(bytesOf(JSONS.join("")));
  assertEquals(best(sample), "--json-sequence");
});

Deno.test("guess() finds records of one length by the columns that stay the same", () => {
  const sample = new Sample();
  const random = randomFrom(3);
  for (let index = 0; index < 20; index++) {
    sample.add(
      new Uint8Array([
        0xa5,
        0x5a,
        random() * 256,
        random() * 256,
        0,
        random() * 256,
      ]),
    );
  }
  assertEquals(best(sample), "--fixed 6");
});

Deno.test("guess() finds nothing in random bytes and in an empty stream", () => {
  const random = randomFrom(99);
  for (let round = 0; round < 20; round++) {
    const sample = new Sample();
    sample.add(Uint8Array.from({ length: 1000 }, () => random() * 256));
    const sure = guess([sample]).filter(({ bits }) => bits > 12);
    assertEquals(sure, []);
  }
  assertEquals(guess([]), []);
  assertEquals(guess([new Sample()]), []);
});

Deno.test("guess() finds only framings that fit all streams", () => {
  const lines = sampleOf(["--lines"], TEXTS);
  const prefixed = sampleOf(["--length", "4"], TEXTS);
  assertEquals(guess([lines, prefixed]).filter(({ bits }) => bits > 12), []);
  assertEquals(
    best(prefixed, sampleOf(["--length", "4"], BINARIES)),
    "--length 4",
  );
});

Deno.test("guess() excludes a framing that leaves an unfinished message in a complete stream", () => {
  const cut = sampleOf(["--netstrings"], TEXTS, { isOneRead: true, drop: 1 });
  cut.isWhole = true;
  assert(best(cut) !== "--netstrings");
});

Deno.test("hintFor() recognizes TLS, HTTP and SSH", () => {
  assert(hintFor(new Uint8Array([0x15, 3, 3, 0, 2, 2, 70]))?.includes("--tls"));
  assert(hintFor(bytesOf("HTTP/1.1 400 Bad Request"))?.includes("HTTP"));
  assert(hintFor(bytesOf("SSH-2.0-OpenSSH_9.6"))?.includes("SSH"));
  assertEquals(hintFor(bytesOf("hello")), undefined);
});

Deno.test("guessReport() gives flags that can be copied", () => {
  assertEquals(
    guessReport([sampleOf(["--delimiter", "\\0"], TEXTS)]).split("\n").slice(
      0,
      2,
    ),
    [
      "54 bytes in 5 reads: this fits",
      "  surely   --delimiter '\\0'                  5 messages of 3 to 25 bytes; 5 of 5 reads end with one",
    ],
  );
  assert(guessReport([new Sample()]).startsWith("Nothing came"));
});
