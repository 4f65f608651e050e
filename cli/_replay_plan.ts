import { namingTask } from "../internal/system_error.ts";
import type { Command } from "./_command.ts";
import { parseFlags } from "./_flags.ts";
import { type Format, InputError } from "./_format.ts";
import { FRAMING_FLAGS } from "./_framing_flag_table.ts";
import { chooseFraming, type ChosenFraming } from "./_framing_flags.ts";
import { readRecording, type Recording } from "./_recording.ts";
import { outputFormat } from "./_sending.ts";
import { parsePlace, type Place, UsageError } from "./_values.ts";

/** The checked command line of `replay`. */
export interface ReplayPlan {
  readonly file: string;
  readonly recording: Recording;
  readonly place: Place;
  readonly chosen: ChosenFraming;
  readonly format: Format;
  /** How many times faster; `Infinity` without pauses. */
  readonly speed: number;
  readonly compares: boolean;
  readonly wait: number;
  readonly isQuiet: boolean;
}

const DEFAULT_WAIT_MS = 1000;

/** Reads and checks the flags of `replay`, and the recording. */
export async function planReplay(
  { flags, args }: Command,
): Promise<ReplayPlan> {
  const [file = "", target = ""] = args;
  const place = parsePlace(target);
  const speed = parseSpeed(flags.text("speed"));
  const given = FRAMING_FLAGS.flags.some(({ name }) => flags.has(name))
    ? chooseFraming(flags)
    : undefined;
  const wait = flags.duration("wait") ?? DEFAULT_WAIT_MS;
  const recording = await readFrom(file);
  const chosen = given ??
    chooseFraming(
      parseFlags(recording.framing ?? [], FRAMING_FLAGS.flags).flags,
    );
  return {
    file,
    recording,
    place,
    chosen,
    format: outputFormat(flags, chosen.isRaw),
    speed,
    compares: flags.has("diff"),
    wait,
    isQuiet: flags.has("quiet"),
  };
}

async function readFrom(file: string): Promise<Recording> {
  using opened = await Deno.open(file);
  try {
    return await readRecording(file, opened.readable);
  } catch (error) {
    // A folder can be opened, but not read.
    throw error instanceof InputError
      ? error
      : namingTask(error, `read ${file}`);
  }
}

function parseSpeed(text: string | undefined): number {
  if (text === undefined) return 1;
  if (text === "max") return Infinity;
  const speed = Number(text);
  if (!(speed > 0)) {
    throw new UsageError(
      `--speed must be a number above 0, or max: current value is "${text}"`,
    );
  }
  return speed;
}
