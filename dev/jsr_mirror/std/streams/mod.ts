export * from "./to_text.ts";
