import { BytesDecoder } from "./_decoders.ts";
import {
  malformedText,
  TextFrameDecoder,
  type TextRules,
} from "./_text_frames.ts";
import { checkText, decodeText } from "./_utf8.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Framing } from "./framing.ts";
import { mapped } from "./mapped.ts";

/** A framing of bytes, read and written as UTF-8. */
export function textFraming(
  framing: Framing<Bytes, Sendable>,
  rules: TextRules,
): Framing<string> {
  const { decoder, encoder } = mapped(framing, {
    decode(bytes) {
      // The types refuse other framings, such as lines(), which already gives
      // text.
      if (!ArrayBuffer.isView(bytes)) {
        throw new TypeError(
          `Cannot read message as text as its framing must give bytes: it gave a value of type ${typeof bytes}`,
        );
      }
      const text = decodeText(bytes);
      const error = malformedText(text, rules, () => bytes);
      if (error !== undefined) throw error;
      return text;
    },
    encode(text: string) {
      checkText(text);
      return text;
    },
    onMalformed: rules.malformed,
  });
  return {
    encoder,
    decoder() {
      const made = framing.decoder();
      return made instanceof BytesDecoder
        ? new TextFrameDecoder(made.finder, rules)
        : decoder();
    },
  };
}
