// Built from _scan.wat by _tools/build_scan.ts: do not edit.

/** The WebAssembly module of `_scan.wat`, in base64. */
export const SCAN_WASM = [
  "AGFzbQEAAAABCQFgBH9/f38BfwMCAQAFAwEABgcRAgZtZW1vcnkCAARzY2FuAAAKgAEBfg",
  "IDfwJ7IAD9DyEHIAH9DyEIQYCBBCEFAkADQCAEIANPDQEgBP0ABAAgB/0jIAQgAmr9AAQA",
  "IAj9I/1O/WQhBgJAA0AgBkUNASAFIAQgBmhqNgIAIAVBBGohBSAGIAZBAWtxIQYMAAsLIA",
  "RBEGohBAwACwsgBUGAgQRrQQJ2Cw==",
].join("");
