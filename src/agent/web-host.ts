import { layOutHeaders } from '../board/header-layout.ts';
import { loadBoard } from '../board/load-board.ts';
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { linesInUse } from '../config/resolved.ts';
import type { PortRunner } from '../io/port-runner.ts';
import type { Log } from '../log/log.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { newId } from '../message/envelope.ts';
import type { PinInfo } from '../message/payloads.ts';
import type { HeaderDrawing, WebHost } from '../web/options.ts';

/** The parts of an agent that the web server shows. */
export interface AgentParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly ports: ReadonlyMap<string, PortRunner>;
  readonly mesh: Mesh | undefined;
  readonly pins: () => readonly PinInfo[];
  readonly actors: () => readonly { name: string; errors: number; restarts: number }[];
  readonly running: () => boolean;
}

/** Makes the view of an agent that the web server needs. */
export function webHost(config: ResolvedConfig, parts: AgentParts): WebHost {
  const { bus, clock, log, version, ports, mesh, pins, actors, running } = parts;
  const drivers = new Map(config.ports.map(({ name, driver, mock }) => [name, mock ? 'mock' : driver.name]));
  const boot = newId(12);
  // Without a mesh the node has no id on the wire.
  const id = newId();
  let headers: readonly HeaderDrawing[] | undefined;
  return {
    bus,
    clock,
    log,
    version,
    running,
    actors,
    self: () => ({ event: 'birth', node: mesh?.id ?? id, name: config.node, boot, pins: pins() }),
    ports: () =>
      [...ports.values()].map(({ name, state, reason, counters, metrics }) => ({
        name,
        driver: drivers.get(name) ?? '',
        state,
        ...(reason && { reason: reason.message }),
        counters: Object.fromEntries(counters),
        metrics,
      })),
    mesh: () =>
      mesh && {
        broker: mesh.isBroker,
        peers: mesh.links,
        v1Processes: mesh.v1Processes,
        counters: { ...mesh.stats },
      },
    headers: () => {
      headers ??= headersOf(config);
      return headers;
    },
  };
}

function headersOf(config: ResolvedConfig): HeaderDrawing[] {
  const board = config.board === undefined ? undefined : loadBoard(config.board);
  if (!board) return [];
  return layOutHeaders(board, { lines: linesInUse(config), buses: config.enabledBuses ?? [] });
}
