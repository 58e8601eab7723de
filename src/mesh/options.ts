import { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { type Endpoint, isLoopback } from './transport/addresses.ts';

/** Options of a `Mesh`; every one has a default. */
export interface MeshOptions {
  /** Address the sockets are bound to: 127.0.0.1 (the default), an address of this machine, or 0.0.0.0 for all. */
  readonly listen?: string;
  /** Ports of the address broker; 5012 and 5013 by default. */
  readonly rx?: number;
  readonly tx?: number;
  /** Address brokers of other machines. */
  readonly brokers?: readonly Endpoint[];
  /** Brokers behind a TCP tunnel: traffic goes through the tunnel, never around it. */
  readonly proxyBrokers?: readonly Endpoint[];
  /** The user accepts that anyone who reaches the ports can command the outputs. */
  readonly insecure?: boolean;
  /** Folder of this node's key and of the keys it allows. Sessions are then encrypted, and v1 is served on loopback only. */
  readonly security?: { readonly keys: string };
  /** Nothing is logged by default. */
  readonly log?: Log;
  /** Name for people; need not be unique. */
  readonly name?: string;
}

type Defaulted = 'listen' | 'rx' | 'tx' | 'brokers' | 'proxyBrokers' | 'insecure' | 'log';
/** Options with their defaults filled in. */
export type MeshSettings = MeshOptions & Required<Pick<MeshOptions, Defaulted>>;

const ignore = () => undefined;
/** A log that drops every line. */
export const quietLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

const defaults = {
  listen: '127.0.0.1',
  rx: 5012,
  tx: 5013,
  brokers: [],
  proxyBrokers: [],
  insecure: false,
  log: quietLog,
} satisfies MeshOptions;

/** Fills in the defaults. Throws BAD_CONFIG when the options would open the outputs to a network and nothing says so. */
export function meshSettings(options: MeshOptions): MeshSettings {
  const settings = { ...defaults, ...options };
  const { listen, insecure, security } = settings;
  if (isLoopback(listen) || insecure || security) return settings;
  throw new DcsError('BAD_CONFIG', `listening on ${listen} lets everybody who reaches it command the outputs`, {
    found: listen,
    expected: 'listen: 127.0.0.1, or keys (bus.security), or insecure: true if that is what you want',
  });
}

/** The same settings, kept to this machine. */
export function onLoopback(settings: MeshSettings): MeshSettings {
  return { ...settings, listen: '127.0.0.1' };
}

/** Address at which v1 is served, which knows no encryption. */
export function v1Listen({ listen, insecure }: Pick<MeshSettings, 'listen' | 'insecure'>): string {
  return isLoopback(listen) || insecure ? listen : '127.0.0.1';
}
