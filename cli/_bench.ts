export function run(): Promise<number> {
  return Promise.resolve(0);
}
export function code(): string {
  return "";
}
export function completion(_: readonly string[]): string {
  return "";
}
