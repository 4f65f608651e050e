import type { Command } from "./_command.ts";
import { type Faults, parseFaults } from "./_faults.ts";
import type { Format } from "./_format.ts";
import { chooseFraming, type ChosenFraming } from "./_framing_flags.ts";
import { outputFormat } from "./_sending.ts";
import { parsePlace, type Place } from "./_values.ts";

/** The checked command line of `proxy`. */
export interface ProxyPlan {
  readonly listen: Place;
  readonly target: Place;
  readonly chosen: ChosenFraming;
  readonly format: Format;
  readonly faults: Faults | undefined;
  readonly record: string | undefined;
  readonly pcap: string | undefined;
  readonly isQuiet: boolean;
  readonly guesses: boolean;
}

/** Reads and checks the flags of `proxy`. */
export function planProxy({ flags, args }: Command): ProxyPlan {
  const chosen = chooseFraming(flags);
  const [listen = "", target = ""] = args;
  return {
    listen: parsePlace(listen),
    target: parsePlace(target),
    chosen,
    format: outputFormat(flags, chosen.isRaw),
    faults: parseFaults(flags),
    record: flags.text("record"),
    pcap: flags.text("pcap"),
    isQuiet: flags.has("quiet"),
    guesses: flags.has("guess"),
  };
}
