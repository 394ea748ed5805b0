export function schema(): Promise<string>;
