import { assertEquals, assertThrows } from "@std/assert";
import {
  ChunkDecoder,
  ChunkEncoder,
  FramingError,
  type Sendable,
} from "../framing.ts";
import { parseFlags } from "./_flags.ts";
import { FRAMING_FLAGS } from "./_framing_flag_table.ts";
import { chooseFraming } from "./_framing_flags.ts";
import { bytesOf, UsageError } from "./_values.ts";

function choose(...args: string[]) {
  const known = [...FRAMING_FLAGS.flags, { name: "guess", help: "" }];
  return chooseFraming(parseFlags(args, known).flags);
}

/** One row for each framing: flags, printed code, a message, its frame. */
const CASES: [
  args: string[],
  code: string,
  message: Sendable,
  frame: Sendable,
][] = [
  [[], "lines()", "hi", "hi\n"],
  [["--lines"], "lines()", "hi", "hi\n"],
  [["--eol", "crlf"], 'lines({ eol: "\\r\\n" })', "hi", "hi\r\n"],
  [
    ["--lines", "--fatal", "--max-length", "1k", "--oversize", "discard"],
    'lines({ fatal: true, maxLength: 1024, oversize: "discard" })',
    "hi",
    "hi\n",
  ],
  [["--delimiter", "\\0"], 'delimited("\\u0000")', "hi", "hi\0"],
  [
    ["--delimiter", ";", "--delimiter", "\\xff", "--trailing", "error"],
    'delimited([";", new Uint8Array([255])], { trailing: "error" })',
    "hi",
    "hi;",
  ],
  [
    ["--delimiter", "!", "--disposition", "suffix"],
    'delimited("!", { disposition: "suffix" })',
    "hi!",
    "hi!",
  ],
  [["--length", "4"], "lengthPrefixed({ fieldSize: 4 })", "hi", "\0\0\0\x02hi"],
  [
    ["--length", "2,le,adjust=-2"],
    "lengthPrefixed({ fieldSize: 2, littleEndian: true, adjustment: -2 })",
    "hi",
    "\x04\0hi",
  ],
  [
    ["--length", "2,offset=1,strip=0"],
    "lengthPrefixed({ fieldSize: 2, fieldOffset: 1, strip: 0 })",
    "A\0\x01x",
    "A\0\x01x",
  ],
  [["--varint"], 'lengthPrefixed({ fieldSize: "varint" })', "hi", "\x02hi"],
  [
    ["--length", "varint", "--max-length", "Infinity"],
    'lengthPrefixed({ fieldSize: "varint", maxLength: Infinity })',
    "hi",
    "\x02hi",
  ],
  [["--netstrings"], "netstrings()", "hi", "2:hi,"],
  [
    ["--eol", "crlf", "--strict", "--on-malformed", "discard"],
    'lines({ eol: "\\r\\n", strict: true, onMalformed: "discard" })',
    "hi",
    "hi\r\n",
  ],
  [
    ["--length", "4,decimal"],
    'lengthPrefixed({ fieldSize: 4, fieldFormat: "decimal" })',
    "hi",
    "0002hi",
  ],
  [
    ["--length", "2,hex,adjust=-2"],
    'lengthPrefixed({ fieldSize: 2, fieldFormat: "hex", adjustment: -2 })',
    "0123456789",
    "0c0123456789",
  ],
  [
    ["--length", "varint,max=4"],
    'lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 4 })',
    "hi",
    "\x02hi",
  ],
  [
    ["--content-length", "--max-header-length", "1k"],
    "contentLength({ maxHeaderLength: 1024 })",
    "hi",
    "Content-Length: 2\r\n\r\nhi",
  ],
  [["--json-sequence"], "jsonSequence()", '{"a":1}', '{"a":1}\n'],
  [["--fixed", "2"], "fixedLength(2)", "hi", "hi"],
  [["--raw"], "unframed()", "hi", "hi"],
  [["--guess"], "unframed()", "hi", "hi"],
];

for (const [args, code, message, frame] of CASES) {
  Deno.test(`The flags ${args.join(" ") || "(none)"} give ${code}`, () => {
    const chosen = choose(...args);
    assertEquals(chosen.code, code);
    assertEquals(
      new ChunkEncoder(chosen.framing).encode(message),
      bytesOf(frame),
    );
    const decoder = new ChunkDecoder(chosen.framing);
    assertEquals(
      [...decoder.decode(bytesOf(frame)), ...decoder.end()],
      [bytesOf(message)],
    );
  });
}

Deno.test("Flags printed for a framing select the same framing", () => {
  for (const [args, code] of CASES) {
    if (args.includes("--guess")) continue;
    const { flags } = choose(...args);
    assertEquals(choose(...flags).code, code);
    assertEquals(choose(...flags).flags, flags);
  }
});

Deno.test("Lines are shown with the bytes received, even if they are not UTF-8", () => {
  const decoder = new ChunkDecoder(choose("--lines").framing);
  assertEquals(decoder.decode(new Uint8Array([0xff, 13, 13, 10, 0x61, 10])), [
    new Uint8Array([0xff, 13]),
    new Uint8Array([0x61]),
  ]);
  const strict = new ChunkDecoder(choose("--fatal").framing);
  assertThrows(() => strict.decode(new Uint8Array([0xff, 10])), FramingError);
});

Deno.test("Bytes that are not UTF-8 cannot be sent as a line", () => {
  const encoder = new ChunkEncoder(choose().framing);
  assertThrows(
    () => encoder.encode(new Uint8Array([0xff])),
    TypeError,
    "not UTF-8",
  );
  assertEquals(encoder.encode(bytesOf("é")), bytesOf("é\n"));
});

Deno.test("--strict refuses bytes that other programs may read as a line end", () => {
  const strict = choose("--strict", "--eol", "crlf").framing;
  const decoder = new ChunkDecoder(strict);
  assertThrows(() => decoder.decode(bytesOf("a\nb\r\n")), FramingError);
  const dropping = choose(
    "--strict",
    "--eol",
    "crlf",
    "--on-malformed",
    "discard",
  );
  assertEquals(
    new ChunkDecoder(dropping.framing).decode(bytesOf("a\nb\r\nc\r\n")),
    [bytesOf("c")],
  );
});

Deno.test("--json-sequence refuses to send what is not JSON", () => {
  const encoder = new ChunkEncoder(choose("--json-sequence").framing);
  assertThrows(() => encoder.encode("{"), TypeError, "not JSON");
  assertThrows(
    () => encoder.encode(new Uint8Array([0xff])),
    TypeError,
    "not JSON",
  );
});

Deno.test("Flags that contradict each other or are invalid are refused", () => {
  const cases: [string[], string][] = [
    [["--lines", "--raw"], "--lines and --raw are two framings"],
    [
      ["--raw", "--eol", "lf"],
      "--eol does not go with --raw, only with --lines",
    ],
    [
      ["--length", "2", "--trailing", "emit"],
      "--trailing does not go with --length",
    ],
    [["--eol", "cr"], "--eol must be one of lf, crlf"],
    [["--length", "9"], "--length must begin with a size"],
    [["--length", "2,wide"], "--length knows"],
    [["--length", "varint,le"], "a varint has its own byte order"],
    [["--length", "2,offset=x"], "--length offset must be"],
    [
      ["--length", "2,adjust=-1.5"],
      'adjust must be a whole number: current value is "-1.5"',
    ],
    [["--raw", "--strict"], "--strict does not go with --raw"],
    [["--length", "4,le,decimal"], "littleEndian"],
    [["--delimiter", ""], "each delimiter must have at least 1 byte"],
    [["--max-length", "0"], "maxLength"],
    [["--guess", "--lines"], "--guess goes without a framing"],
    [["--eol", "lf", "--eol", "crlf"], "--eol may be given once only"],
    [["--line"], "did you mean --lines?"],
    [["--fixed"], "argument missing"],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => choose(...args), UsageError, message);
  }
});
