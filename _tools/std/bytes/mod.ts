export * from "./concat.ts";
export * from "./ends_with.ts";
export * from "./equals.ts";
export * from "./index_of_needle.ts";
export * from "./starts_with.ts";
