export * from "./to_bytes.ts";
export * from "./to_text.ts";
