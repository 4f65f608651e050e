/**
 * Gives the page without a server what `framings.ts` does, as a global function.
 *
 * @module
 */
import { answer } from "./framings.ts";

Object.assign(globalThis, { answerFraming: answer });
