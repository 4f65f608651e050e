/**
 * What the tool can do: a table, of which help, completion and the command line are
 * made. The code of a verb is loaded when it is run.
 *
 * @module
 */
import {
  CONNECT_FLAGS,
  CONNECT_TLS_FLAGS,
  SERVE_FLAGS,
  SERVE_TLS_FLAGS,
} from "./_connection_flags.ts";
import type { VerbModule } from "./_command.ts";
import type { Flag, FlagGroup } from "./_flags.ts";
import { FORMAT_FLAGS } from "./_format.ts";
import { FRAMING_FLAGS } from "./_framing_flag_table.ts";

/** A verb, as help and completion tell it. */
export interface Verb {
  readonly name: string;
  /** The names of its arguments. */
  readonly args: readonly string[];
  readonly summary: string;
  /** More about it, in the help. */
  readonly details: string;
  readonly groups: readonly FlagGroup[];
  /** Command lines without the tool's name, each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  load(): Promise<VerbModule>;
}

const MESSAGE_FLAG: Flag = {
  name: "message",
  short: "m",
  value: "TEXT",
  isMultiple: true,
  help: "Send this instead of standard input; may be given several times",
};
const COUNT_FLAG: Flag = {
  name: "count",
  short: "n",
  value: "N",
  help: "End after N messages were received; fewer are an error",
};
const HISTORY_FLAG: Flag = {
  name: "no-history",
  help: "Do not read or save the history of typed lines",
};
const HEARTBEAT_FLAGS: readonly Flag[] = [
  {
    name: "heartbeat",
    value: "TEXT",
    help: "Send this when nothing else was sent for the interval",
  },
  {
    name: "heartbeat-interval",
    value: "TIME",
    help: "The interval (30s)",
  },
];
const GUESS_FLAG: Flag = {
  name: "guess",
  help:
    "Report the framings that fit the received bytes, instead of decoding them",
};
const QUIET_FLAG: Flag = {
  name: "quiet",
  short: "q",
  help: "Show no messages",
};

/** The flags that every verb has. */
export const COMMON_FLAGS: FlagGroup = {
  title: "More",
  flags: [
    { name: "print-code", help: "Print the program of this command line" },
    { name: "help", short: "h", help: "Show this help" },
  ],
};

/** All verbs, in the order of the help. */
export const VERBS: readonly Verb[] = [
  {
    name: "connect",
    args: ["ADDRESS"],
    summary: "Connect, send typed lines, and show received messages",
    details:
      "On a terminal a line typed is a message sent; /help lists what else there is.\n" +
      "In a pipe it is a filter: messages from standard input, the answers on standard\n" +
      "output. It ends its side at the end of its input, and ends when the peer does.",
    groups: [
      {
        title: "Connect",
        flags: [
          MESSAGE_FLAG,
          COUNT_FLAG,
          {
            name: "wait",
            value: "TIME",
            help:
              "At the end of input keep this side open, and end when nothing was received for this time",
          },
          GUESS_FLAG,
          ...HEARTBEAT_FLAGS,
          HISTORY_FLAG,
        ],
      },
      FRAMING_FLAGS,
      FORMAT_FLAGS,
      CONNECT_FLAGS,
      CONNECT_TLS_FLAGS,
    ],
    examples: [
      ["connect localhost:6379", "Talk to Redis, line by line"],
      ["connect :6379 -m PING -n 1", "Ask once: prints +PONG"],
      ["connect :4000 --length 4 --json < in.jsonl", "A filter of JSON lines"],
      [
        "connect example.com:443 --alpn h2 --raw --hex",
        "The bytes of a TLS server",
      ],
      ["connect unix:/run/app.sock --guess", "Which framing does it speak?"],
    ],
    load: () => import("./_connect.ts"),
  },
  {
    name: "listen",
    args: ["ADDRESS"],
    summary: "Accept connections, and answer them",
    details:
      "A port alone is one of this machine; 0.0.0.0:PORT is open to others, and port 0\n" +
      "is any that is free. Without a way to answer, what is typed goes to all that are\n" +
      "connected.",
    groups: [
      {
        title: "Listen",
        flags: [
          { name: "echo", help: "Send each message back" },
          {
            name: "reply",
            value: "TEXT",
            help: "Answer each message with this",
          },
          {
            name: "exec",
            value: "COMMAND",
            help: "Answer each message with what a shell command makes of it",
          },
          {
            name: "broadcast",
            help: "Send each message to all other connections",
          },
          { name: "discard", help: "Read, and answer nothing" },
          { name: "once", help: "End with the first connection" },
          ...HEARTBEAT_FLAGS,
          COUNT_FLAG,
          QUIET_FLAG,
          HISTORY_FLAG,
          GUESS_FLAG,
        ],
      },
      FRAMING_FLAGS,
      FORMAT_FLAGS,
      SERVE_FLAGS,
      SERVE_TLS_FLAGS,
    ],
    examples: [
      ["listen 4000 --echo", "An echo server, which shows what passes"],
      ["listen 4000 --exec 'tr a-z A-Z' --netstrings", "Answers in capitals"],
      ["listen 4000 --broadcast", "A chat"],
      ["listen 4000 --once --binary --raw > file", "Receive a file"],
    ],
    load: () => import("./_listen.ts"),
  },
  {
    name: "proxy",
    args: ["LISTEN", "TARGET"],
    summary: "Forward connections, and show both directions as messages",
    details:
      "Bytes pass as they are, whether or not the framing fits them. Faults hold in\n" +
      "both directions; with --seed a run can be repeated.",
    groups: [
      {
        title: "Proxy",
        flags: [
          {
            name: "record",
            value: "FILE",
            isFile: true,
            help: "Write all messages to a file, for replay",
          },
          {
            name: "pcap",
            value: "FILE",
            isFile: true,
            help: "Write all bytes to a file, for Wireshark",
          },
          QUIET_FLAG,
          GUESS_FLAG,
        ],
      },
      {
        title: "Faults",
        flags: [
          {
            name: "latency",
            value: "TIME",
            help: "Delay all bytes by this time",
          },
          {
            name: "jitter",
            value: "TIME",
            help: "Delay them by up to this much more, at random",
          },
          {
            name: "rate",
            value: "SIZE",
            help: "The maximum bytes a second",
          },
          {
            name: "cut",
            value: "MIN-MAX",
            help: "Cut the bytes into pieces of random lengths",
          },
          {
            name: "stall-after",
            value: "SIZE",
            help: "Forward nothing more after this many bytes",
          },
          {
            name: "reset-after",
            value: "SIZE",
            help: "Reset both sides after this many bytes",
          },
          {
            name: "half-close-after",
            value: "SIZE",
            help: "End a direction after this many bytes, and drop the rest",
          },
          { name: "seed", value: "N", help: "The seed of the random faults" },
        ],
      },
      FRAMING_FLAGS,
      FORMAT_FLAGS,
      CONNECT_TLS_FLAGS,
    ],
    examples: [
      ["proxy 7000 localhost:6379", "See the requests of a program to Redis"],
      ["proxy 7000 :6379 --record run.jsonl --pcap run.pcap", "Keep it, too"],
      [
        "proxy 7000 :6379 --latency 40ms --jitter 20ms --cut 1-7 --seed 1",
        "A bad network",
      ],
    ],
    load: () => import("./_proxy.ts"),
  },
  {
    name: "replay",
    args: ["FILE", "ADDRESS"],
    summary: "Send what a recording sent, and show the answers",
    details:
      "A recording is made by proxy --record, or by proxy --json. The framing is that\n" +
      "of the recording, if no flag names another. A message leaves when its time has\n" +
      "come, and when what came before it in the recording has come again.",
    groups: [
      {
        title: "Replay",
        flags: [
          {
            name: "speed",
            value: "FACTOR",
            help: "How many times faster; max leaves no pauses (1)",
          },
          {
            name: "diff",
            help: "Show only answers that differ; exit code 1 if any do",
          },
          {
            name: "wait",
            value: "TIME",
            help: "How long to wait for an answer that was recorded (1s)",
          },
          QUIET_FLAG,
        ],
      },
      FRAMING_FLAGS,
      FORMAT_FLAGS,
      CONNECT_FLAGS,
      CONNECT_TLS_FLAGS,
    ],
    examples: [
      ["replay run.jsonl localhost:6379", "At the speed of the recording"],
      [
        "replay run.jsonl :6379 --speed max --diff",
        "Does it still answer the same?",
      ],
    ],
    load: () => import("./_replay.ts"),
  },
  {
    name: "bench",
    args: ["ADDRESS"],
    summary: "Send requests, and measure the answers",
    details:
      "One message comes back for each that is sent, in order. Without --rate, requests\n" +
      "are sent as fast as they are answered. With it, each is due at its time, and its\n" +
      "latency counts from then: one that has to wait to be sent is slow too.",
    groups: [
      {
        title: "Bench",
        flags: [
          {
            name: "message",
            short: "m",
            value: "TEXT",
            isMultiple: true,
            help: "The request (PING); several are sent in turn",
          },
          {
            name: "connections",
            short: "c",
            value: "N",
            help: "How many connections (1)",
          },
          {
            name: "rate",
            short: "r",
            value: "N",
            help: "How many requests a second, in all",
          },
          {
            name: "time",
            short: "t",
            value: "TIME",
            help: "For how long (10s)",
          },
          {
            name: "pipeline",
            short: "P",
            value: "N",
            help: "How many requests of a connection are pending (1)",
          },
          {
            name: "answers",
            value: "N",
            help: "How many messages answer a request (1)",
          },
          { name: "json", help: "Print the result as JSON" },
          { name: "hex", help: "The message is hexadecimal digits" },
          {
            name: "escapes",
            short: "e",
            help: "Read \\n, \\r, \\t, \\0, \\\\ and \\xHH in the message",
          },
        ],
      },
      FRAMING_FLAGS,
      CONNECT_FLAGS,
      CONNECT_TLS_FLAGS,
    ],
    examples: [
      ["bench :6379 -m PING -c 50 -P 32", "As fast as Redis can"],
      [
        "bench :6379 -m PING -c 50 -r 1000 -t 10s",
        "The latency at 1000 requests a second",
      ],
      [
        "bench :4000 --length 4 -m hello --json",
        "Length-prefixed, for a script",
      ],
    ],
    load: () => import("./_bench.ts"),
  },
];

/** All flags of a verb. */
export function flagsOf(verb: Verb): Flag[] {
  return [...verb.groups, COMMON_FLAGS].flatMap(({ flags }) => flags);
}
