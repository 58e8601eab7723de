import { qualities } from '../../message/payloads.ts';
import type { PinState, Status } from './schemas.ts';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * The agent in the text format of Prometheus (0.0.4). Times are in seconds and shares from 0 to 1, as its conventions want;
 * a pin of bad quality has no value.
 */
export function metricsText(status: Status, pins: readonly PinState[]): string {
  const { ports, bus, mesh, event_loop: loop } = status;
  const { sockets = 0, streams = 0, ...counted } = status.web;
  const connections = { sockets, streams };
  const others = status.nodes.filter(({ state, pins: count }) => state !== 'here' && state !== 'v1' && count > 0);
  const families: [name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]][] = [
    ['dcs_io_info', 'gauge', 'always 1', [one(1, { node: status.node, version: status.version })]],
    ['dcs_io_uptime_seconds', 'gauge', 'since the web layer started', [one(status.uptime)]],
    ['dcs_io_pins', 'gauge', 'pins on the bus by quality', byQuality(pins)],
    ['dcs_io_pin_value', 'gauge', 'last value; digital 0 or 1; absent while the quality is bad', values(pins)],
    [
      'dcs_io_port_up',
      'gauge',
      '1: the port is open',
      ports.map(({ name, driver, state }) => one(Number(state === 'open'), { port: name, driver })),
    ],
    ['dcs_io_port_utilisation_ratio', 'gauge', 'share of the time the bus is busy', metric(ports, 'utilisation', 1)],
    [
      'dcs_io_port_round_trip_p50_seconds',
      'gauge',
      'median of the last round trips',
      metric(ports, 'round_trip_p50_ms', 1000),
    ],
    [
      'dcs_io_port_round_trip_p99_seconds',
      'gauge',
      '99th percentile of the last round trips',
      metric(ports, 'round_trip_p99_ms', 1000),
    ],
    [
      'dcs_io_port_units_off_line',
      'gauge',
      'devices of the bus that do not answer',
      metric(ports, 'units_off_line', 1),
    ],
    [
      'dcs_io_port_events_total',
      'counter',
      'errors, drops and whatever else a port counts',
      ports.flatMap(({ name, counters }) =>
        Object.entries(counters).map(([event, value]) => one(value, { port: name, event })),
      ),
    ],
    ['dcs_io_bus_messages_total', 'counter', 'messages of the local bus by what became of them', named(bus, 'what')],
    ['dcs_io_mesh_messages_total', 'counter', 'messages between processes by what became of them', named(mesh, 'what')],
    [
      'dcs_io_mesh_peers',
      'gauge',
      'nodes with a direct link',
      [one(status.nodes.filter(({ state }) => state === 'linked').length)],
    ],
    [
      'dcs_io_node_up',
      'gauge',
      '1: the node is there, 0: it is gone',
      byNode(others, ({ state }) => Number(state !== 'lost')),
    ],
    [
      'dcs_io_node_missed_total',
      'counter',
      'messages of a node that did not arrive',
      byNode(others, ({ missed }) => missed),
    ],
    [
      'dcs_io_node_dropped_total',
      'counter',
      'messages not sent because a node does not take them',
      byNode(others, ({ dropped }) => dropped),
    ],
    [
      'dcs_io_actor_errors_total',
      'counter',
      'what handlers of actors threw',
      status.actors.map(({ name, errors }) => one(errors, { actor: name })),
    ],
    [
      'dcs_io_actor_restarts_total',
      'counter',
      'actors started anew',
      status.actors.map(({ name, restarts }) => one(restarts, { actor: name })),
    ],
    ['dcs_io_web_connections', 'gauge', 'WebSockets and event streams that are open', named(connections, 'kind')],
    ['dcs_io_web_total', 'counter', 'what the web layer counts', named(counted, 'what')],
    [
      'dcs_io_event_loop_delay_seconds',
      'gauge',
      'how late timers are, of the last 10 to 20 s',
      [
        one(loop.p50_ms / 1000, { quantile: '0.5' }),
        one(loop.p99_ms / 1000, { quantile: '0.99' }),
        one(loop.max_ms / 1000, { quantile: '1' }),
      ],
    ],
    ['process_resident_memory_bytes', 'gauge', 'memory of the process', [one(status.memory)]],
  ];
  return families.flatMap((family) => (family[3].length > 0 ? [format(...family)] : [])).join('');
}

function format(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(({ labels, value }) => `${name}${formatLabels(labels)} ${value}`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([key, value]) => `${key}="${escaped(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function one(value: number, labels: Readonly<Record<string, string>> = {}): Sample {
  return { labels, value };
}

function named(counters: Readonly<Record<string, number>>, label: string): Sample[] {
  return Object.entries(counters).map(([key, value]) => one(value, { [label]: key }));
}

/** By the name of the node, under which it comes back with another id. */
function byNode(nodes: Status['nodes'], value: (node: Status['nodes'][number]) => number): Sample[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  return [...byName].map(([name, node]) => one(value(node), { node: name }));
}

function metric(ports: Status['ports'], key: string, per: number): Sample[] {
  return ports.flatMap(({ name, metrics }) => {
    const value = metrics[key];
    return value === undefined ? [] : [one(value / per, { port: name })];
  });
}

function byQuality(pins: readonly PinState[]): Sample[] {
  return [...qualities, 'unknown'].map((quality) =>
    one(pins.filter((pin) => (pin.quality ?? 'unknown') === quality).length, { quality }),
  );
}

function values(pins: readonly PinState[]): Sample[] {
  return pins.flatMap(({ name, val, quality, uom = '' }) => {
    if (quality === 'bad' || (typeof val !== 'number' && typeof val !== 'boolean')) return [];
    return [one(Number(val), { pin: name, unit: uom })];
  });
}
