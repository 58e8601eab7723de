import type { Bus } from '../bus/bus.ts';
import type { Clock, DurationMs } from '../clock/clock.ts';
import type { Log } from '../log/log.ts';
import type { NodeMessage } from '../message/payloads.ts';

/** What a person or program may do, each including those before it. */
export const roles = ['view', 'operate', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Whether `has` is enough where `needs` is asked for. */
export function roleIncludes(has: Role, needs: Role): boolean {
  return roles.indexOf(has) >= roles.indexOf(needs);
}

export interface WebUser {
  readonly name: string;
  readonly role: Role;
  /** `scrypt:…`, see hashPassword. */
  readonly password?: string | undefined;
  /** `sha256:…`, see newToken. */
  readonly token?: string | undefined;
}

export interface WebOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** None: whoever is on this machine is admin; `host` must be loopback then. */
  readonly users: readonly WebUser[];
  /** Other origins whose scripts may use the API. */
  readonly origins: readonly string[];
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly historyMs: DurationMs;
}

/** A port of the agent as the page and the metrics show it. */
export interface PortStatus {
  readonly name: string;
  readonly driver: string;
  readonly state: string;
  /** Why it is not open. */
  readonly reason?: string;
  readonly counters: Readonly<Record<string, number>>;
  /** `utilisation` (0 to 1), `round_trip_p99_ms`, … */
  readonly metrics: Readonly<Record<string, number>>;
}

export interface PeerStatus {
  readonly id: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly open: boolean;
  /** How long it has been open, or not. */
  readonly forMs: DurationMs;
  readonly encrypted: boolean;
  readonly roundTripMs?: DurationMs;
  /** Messages that did not arrive, and that were not sent. */
  readonly missed: number;
  readonly dropped: number;
}

export interface MeshStatus {
  /** Whether this process is the address broker of its machine. */
  readonly broker: boolean;
  /** Direct links with other nodes, those that are lost included. */
  readonly peers: readonly PeerStatus[];
  /** Processes of aktos-dcs v1 with a direct link. They say neither their name nor that they live. */
  readonly v1Processes: readonly { readonly id: string; readonly silentMs: DurationMs }[];
  readonly counters: Readonly<Record<string, number>>;
}

/** One place of a connector; see src/board/header-layout.ts. */
export interface HeaderCell {
  readonly position: number;
  readonly kind: 'power' | 'ground' | 'line' | 'other';
  readonly name: string;
  readonly aliases: readonly string[];
  readonly bus?: string;
  /** The user's pin on it. */
  readonly use?: string;
}

export interface HeaderDrawing {
  readonly title: string;
  readonly connector: string;
  readonly rows: readonly (readonly HeaderCell[])[];
}

/** What the agent tells the web layer of itself. */
export interface WebHost {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** This node as others know it, with its pins. */
  self(): NodeMessage;
  /** The agent has started, and is not stopping. */
  running(): boolean;
  ports(): readonly PortStatus[];
  /** Undefined: no part in the bus between processes. */
  mesh(): MeshStatus | undefined;
  /** Actors that have failed, with how often. */
  actors(): readonly { readonly name: string; readonly errors: number; readonly restarts: number }[];
  /** The board's connectors; none without a board. */
  headers(): readonly HeaderDrawing[];
}
