import { isIP, isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { DcsError } from '../../errors/errors.ts';

/** All IPv4 addresses of this machine except loopback's. */
export function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((entry) => entry.family === 'IPv4' && !isLoopback(entry.address))
    .map((entry) => entry.address);
}

/** True for an address that reaches only this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || /^127\./.test(host);
}

/** True for an address that another machine can use: unicast IPv4, not loopback, link-local or 'any'. */
export function isRoutable(host: string): boolean {
  return isIPv4(host) && !isLoopback(host) && !/^(0|169\.254|22[4-9]|2[3-5]\d)\./.test(host);
}

/** Addresses at which other machines reach a socket bound to `listen`; empty for loopback. */
export function reachableAddresses(listen: string): readonly string[] {
  if (isLoopback(listen)) return [];
  const own = ownAddresses().filter(isRoutable);
  return listen === '0.0.0.0' || listen === '*' ? own : [listen];
}

/** Address of a broker, written `ip:rx:tx` as in aktos-dcs. */
export interface Endpoint {
  readonly host: string;
  /** Port of the broker's SUB socket: we publish to it. */
  readonly rx: number;
  /** Port of the broker's PUB socket: we subscribe to it. */
  readonly tx: number;
}

const FORM = /^\s*([A-Za-z0-9_.-]{1,253}):(\d{1,5}):(\d{1,5})\s*$/;

/** Parses `ip:rx:tx` (`192.168.1.5:5012:5013`). Throws BAD_CONFIG. */
export function parseEndpoint(text: string): Endpoint {
  const [, host, rxText, txText] = FORM.exec(text) ?? [];
  const rx = Number(rxText);
  const tx = Number(txText);
  if (host === undefined || !isPort(rx) || !isPort(tx) || (/^[\d.]+$/.test(host) && isIP(host) !== 4)) {
    throw new DcsError('BAD_CONFIG', `'${text}' is not the address of a broker`, {
      found: text,
      expected: 'ip:rx:tx, for instance 192.168.1.5:5012:5013',
    });
  }
  return { host, rx, tx };
}

/** `ip:rx:tx`. */
export function endpointText({ host, rx, tx }: Endpoint): string {
  return `${host}:${rx}:${tx}`;
}

/** A ZeroMQ address. */
export function tcp(host: string, port: number | '*'): string {
  return `tcp://${host}:${port}`;
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** Ports that a pair of sockets is bound to. */
export interface Ports {
  /** Port of our SUB: others publish to it. */
  readonly rx: number;
  /** Port of our PUB: others subscribe to it. */
  readonly tx: number;
}

/** Address of a v1 server link. */
export interface Contact {
  readonly addresses: readonly string[];
  readonly ports: Ports;
}
