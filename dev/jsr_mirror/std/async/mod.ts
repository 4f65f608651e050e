export * from "./abortable.ts";
export * from "./delay.ts";
