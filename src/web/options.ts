import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs } from '../clock/clock.ts';
import type { Log } from '../log/log.ts';
import type { NodeMessage } from '../message/payloads.ts';

/** Roles of users; each includes the permissions of those before it. */
export const roles = ['view', 'operate', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Returns whether the role `has` includes the permissions of `needs`. */
export function roleIncludes(has: Role, needs: Role): boolean {
  return roles.indexOf(has) >= roles.indexOf(needs);
}

export interface WebUser {
  readonly name: string;
  readonly role: Role;
  /** Hash of the password, `scrypt:…`; see hashPassword. */
  readonly password?: string | undefined;
  /** Hash of the token, `sha256:…`; see newToken. */
  readonly token?: string | undefined;
}

export interface WebOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Empty: every local client is admin, and `host` must be a loopback address. */
  readonly users: readonly WebUser[];
  /** Other origins whose scripts may use the API (CORS). */
  readonly origins: readonly string[];
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly historyMs: DurationMs;
}

/** A port of the agent as the page and the metrics show it. */
export interface PortStatus {
  readonly name: string;
  readonly driver: string;
  readonly state: string;
  /** Why the port is not open. */
  readonly reason?: string;
  readonly counters: Readonly<Record<string, number>>;
  /** `utilisation` (0 to 1), `round_trip_p99_ms`, … */
  readonly metrics: Readonly<Record<string, number>>;
}

/** A node with a direct connection, now or before. */
export interface PeerStatus {
  readonly id: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly open: boolean;
  /** Time since the connection was opened or lost. */
  readonly forMs: DurationMs;
  readonly encrypted: boolean;
  readonly roundTripMs?: DurationMs;
  /** Messages of the peer that were lost, and messages to it that were dropped. */
  readonly missed: number;
  readonly dropped: number;
}

export interface MeshStatus {
  /** Whether this process is the address broker of its machine. */
  readonly broker: boolean;
  /** Nodes with a direct connection, lost ones included. */
  readonly peers: readonly PeerStatus[];
  /** Processes of aktos-dcs v1 with a direct connection. v1 has no node names and no heartbeats. */
  readonly v1Processes: readonly { readonly id: string; readonly silentMs: DurationMs }[];
  readonly counters: Readonly<Record<string, number>>;
}

/** One position of a connector; see src/board/header-layout.ts. */
export interface HeaderCell {
  readonly position: number;
  readonly kind: 'power' | 'ground' | 'line' | 'other';
  readonly name: string;
  readonly aliases: readonly string[];
  readonly bus?: string;
  /** Name of the configured pin on this position. */
  readonly use?: string;
}

export interface HeaderDrawing {
  readonly title: string;
  readonly connector: string;
  readonly rows: readonly (readonly HeaderCell[])[];
}

/** The agent as the web server sees it. */
export interface WebHost {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** The birth message of this node, with its pins. */
  self(): NodeMessage;
  /** Whether the agent has started and is not stopping. */
  running(): boolean;
  ports(): readonly PortStatus[];
  /** `undefined` when the configuration disables the mesh. */
  mesh(): MeshStatus | undefined;
  /** Actors with at least one error or restart. */
  actors(): readonly { readonly name: string; readonly errors: number; readonly restarts: number }[];
  /** The connectors of the board; empty without a board. */
  headers(): readonly HeaderDrawing[];
}
