/** Host and port of `tcp://host:port`. */
export interface Remote {
  readonly host: string;
  readonly port: number;
}

const NETWORK = /^(tcp|rfc2217):\/\/(?:\[([^\]\s]+)\]|([^:/\s]+)):(\d{1,5})\/?$/;

/** Scheme, host and port of a network path; `undefined` for a file. */
export function networkPath(path: string): { readonly scheme: string; readonly remote: Remote } | undefined {
  const [, scheme, bracketed, host, port] = NETWORK.exec(path) ?? [];
  if (scheme === undefined) return undefined;
  return { scheme, remote: { host: bracketed ?? host ?? '', port: Number(port) } };
}

/** The problem of a path; `undefined` when it has none. */
export function pathProblem(path: string): string | undefined {
  if (!path.includes('://')) return undefined;
  const found = networkPath(path);
  const right = found !== undefined && found.remote.port >= 1 && found.remote.port <= 65_535;
  return right ? undefined : 'a path on the network is tcp://host:port or rfc2217://host:port';
}
