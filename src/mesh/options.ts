import { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { NodeInfo } from './peer/node-info.ts';
import type { EndReason } from './peer/session.ts';
import { type Endpoint, isLoopback } from './transport/addresses.ts';

/** How a process takes part in the mesh. */
export interface MeshOptions {
  /** Address the sockets are bound to: `127.0.0.1`, an address of this machine, or `0.0.0.0` for all. */
  readonly listen: string;
  /** Ports of the address broker: 5012 and 5013 unless you have reasons. */
  readonly rx: number;
  readonly tx: number;
  /** Address brokers of other machines. */
  readonly brokers: readonly Endpoint[];
  /** Brokers behind a TCP tunnel: talked to through the tunnel, never around it. */
  readonly proxyBrokers: readonly Endpoint[];
  /** The user accepts that anyone who reaches the ports can command the outputs. */
  readonly insecure: boolean;
  /** Folder of this node's key and of those it allows; sessions are then encrypted, and v1 is served on loopback only. */
  readonly security?: { readonly keys: string };
  readonly log: Log;
  /** Shown to people; need not be unique. */
  readonly name?: string;
}

/** Refuses what would open the outputs to a network without anybody having said so. */
export function checkOptions({ listen, insecure, security }: MeshOptions): void {
  if (isLoopback(listen) || insecure || security) return;
  throw new DcsError('BAD_CONFIG', `listening on ${listen} lets everybody who reaches it command the outputs`, {
    found: listen,
    expected: 'listen: 127.0.0.1, or keys (bus.security), or insecure: true if that is what you want',
  });
}

/** The same, kept to this machine. */
export function onLoopback(options: MeshOptions): MeshOptions {
  return { ...options, listen: '127.0.0.1' };
}

/** Where v1 is served, which knows no encryption. */
export function v1Listen({ listen, insecure }: MeshOptions): string {
  return isLoopback(listen) || insecure ? listen : '127.0.0.1';
}

/** What a member tells the program it lives in. None may throw. */
export interface MemberEvents {
  peerUp(peer: NodeInfo): void;
  peerDown(peer: NodeInfo, reason: EndReason): void;
  gap(peer: NodeInfo, missed: number): void;
  drop(peer: NodeInfo, messages: number): void;
}
