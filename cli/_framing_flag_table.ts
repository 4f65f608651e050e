/**
 * The framing flags for help and completion. Separate from their use, which loads the
 * library.
 *
 * @module
 */
import type { Flag, FlagGroup } from "./_flags.ts";

const LENGTH_FLAG: Flag = {
  name: "length",
  value: "SIZE[,le][,…]",
  help:
    "A length of SIZE bytes (1 to 8, or varint) before each message; le: lowest byte first; decimal, hex: it is text; max=N: bytes of a varint; offset=N: bytes before it; adjust=N: what to add to it; strip=N: bytes to drop",
};

/** The flags that each choose a framing. */
export const KIND_FLAGS: readonly Flag[] = [
  { name: "lines", help: "Lines that end with LF or CRLF (the default)" },
  {
    name: "delimiter",
    value: "TEXT",
    isMultiple: true,
    help: "The bytes between messages, such as '\\0' or '\\x1c\\r'; or several",
  },
  LENGTH_FLAG,
  { name: "varint", help: "The length as a varint before each message" },
  { name: "netstrings", help: "Netstrings: 5:hello," },
  {
    name: "content-length",
    help: "Header lines with Content-Length, as in language servers",
  },
  {
    name: "json-sequence",
    help: "JSON values, with or without white space between them",
  },
  { name: "fixed", value: "N", help: "Every message has N bytes" },
  { name: "raw", help: "No framing: the bytes of each read" },
];

/** The choices of flags. */
export const EOL = ["lf", "crlf"] as const;
export const TRAILING = ["emit", "error", "discard"] as const;
export const DISPOSITION = ["discard", "suffix", "prefix"] as const;
export const OVERSIZE = ["error", "discard"] as const;
export const ON_MALFORMED = ["error", "discard"] as const;

/** The flags for options of framings. */
export const OPTION_FLAGS: readonly Flag[] = [
  {
    name: "eol",
    value: "END",
    choices: EOL,
    help: "The line end that --lines writes",
  },
  {
    name: "fatal",
    help: "With --lines, bytes that are not UTF-8 are an error",
  },
  {
    name: "strict",
    help:
      "With --lines, only --eol ends a line, and a lone CR or LF is an error",
  },
  {
    name: "on-malformed",
    value: "RULE",
    choices: ON_MALFORMED,
    help: "What happens to a line that --fatal or --strict refuses",
  },
  {
    name: "trailing",
    value: "RULE",
    choices: TRAILING,
    help: "What happens to a last message without its delimiter",
  },
  {
    name: "disposition",
    value: "RULE",
    choices: DISPOSITION,
    help: "What happens to a delimiter",
  },
  { name: "max-length", value: "SIZE", help: "The longest message (1M)" },
  {
    name: "max-header-length",
    value: "SIZE",
    help: "The longest header of --content-length (8k)",
  },
  {
    name: "oversize",
    value: "RULE",
    choices: OVERSIZE,
    help: "What happens to a message that is longer",
  },
];

/** The flags that say where messages begin and end. */
export const FRAMING_FLAGS: FlagGroup = {
  title: "Framing",
  flags: [...KIND_FLAGS, ...OPTION_FLAGS],
};

/** The flags that each kind of framing takes in addition to its own. */
export const TAKES: Readonly<Record<string, readonly string[]>> = {
  lines: [
    "eol",
    "fatal",
    "strict",
    "on-malformed",
    "trailing",
    "max-length",
    "oversize",
  ],
  delimiter: ["disposition", "trailing", "max-length", "oversize"],
  length: ["max-length", "oversize"],
  varint: ["max-length", "oversize"],
  netstrings: ["max-length", "oversize"],
  "content-length": ["max-length", "max-header-length", "oversize"],
  "json-sequence": ["max-length", "oversize"],
  fixed: [],
  raw: [],
};
