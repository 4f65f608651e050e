export * from "./concat.ts";
export * from "./equals.ts";
