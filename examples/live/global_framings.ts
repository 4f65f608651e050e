/**
 * Makes `framings.ts` a global function, for the page without a server.
 *
 * @module
 */
import { answer } from "./framings.ts";

Object.assign(globalThis, { answerFraming: answer });
