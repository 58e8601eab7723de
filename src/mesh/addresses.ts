import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';

/** All IPv4 addresses of this machine except loopback's. */
export function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((entry) => entry.family === 'IPv4' && !isLoopback(entry.address))
    .map((entry) => entry.address);
}

/** Reaches only this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || /^127\./.test(host);
}

/** An address another machine could use: a unicast IPv4 that is not loopback, link-local or 'any'. */
export function isRoutable(host: string): boolean {
  return isIPv4(host) && !isLoopback(host) && !/^(0|169\.254|22[4-9]|2[3-5]\d)\./.test(host);
}

/** Addresses under which others can reach a socket bound to `listen`; none when that is loopback. */
export function reachableAddresses(listen: string): readonly string[] {
  if (isLoopback(listen)) return [];
  const own = ownAddresses().filter(isRoutable);
  return listen === '0.0.0.0' || listen === '*' ? own : [listen];
}
