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
    ['dcs_io_info', 'gauge', 'always 1', [sample(1, { node: status.node, version: status.version })]],
    ['dcs_io_uptime_seconds', 'gauge', 'since the web layer started', [sample(status.uptime)]],
    ['dcs_io_pins', 'gauge', 'pins on the bus by quality', qualitySamples(pins)],
    ['dcs_io_pin_value', 'gauge', 'last value; digital 0 or 1; absent while the quality is bad', valueSamples(pins)],
    [
      'dcs_io_port_up',
      'gauge',
      '1: the port is open',
      ports.map(({ name, driver, state }) => sample(Number(state === 'open'), { port: name, driver })),
    ],
    [
      'dcs_io_port_utilisation_ratio',
      'gauge',
      'share of the time the bus is busy',
      portMetric(ports, 'utilisation', 1),
    ],
    [
      'dcs_io_port_round_trip_p50_seconds',
      'gauge',
      'median of the last round trips',
      portMetric(ports, 'round_trip_p50_ms', 1000),
    ],
    [
      'dcs_io_port_round_trip_p99_seconds',
      'gauge',
      '99th percentile of the last round trips',
      portMetric(ports, 'round_trip_p99_ms', 1000),
    ],
    [
      'dcs_io_port_units_off_line',
      'gauge',
      'devices of the bus that do not answer',
      portMetric(ports, 'units_off_line', 1),
    ],
    [
      'dcs_io_port_events_total',
      'counter',
      'errors, drops and whatever else a port counts',
      ports.flatMap(({ name, counters }) =>
        Object.entries(counters).map(([event, value]) => sample(value, { port: name, event })),
      ),
    ],
    [
      'dcs_io_bus_messages_total',
      'counter',
      'messages of the local bus by what became of them',
      samplesOf(bus, 'what'),
    ],
    [
      'dcs_io_mesh_messages_total',
      'counter',
      'messages between processes by what became of them',
      samplesOf(mesh, 'what'),
    ],
    [
      'dcs_io_mesh_peers',
      'gauge',
      'nodes with a direct link',
      [sample(status.nodes.filter(({ state }) => state === 'linked').length)],
    ],
    [
      'dcs_io_node_up',
      'gauge',
      '1: the node is there, 0: it is gone',
      nodeSamples(others, ({ state }) => Number(state !== 'lost')),
    ],
    [
      'dcs_io_node_missed_total',
      'counter',
      'messages of a node that did not arrive',
      nodeSamples(others, ({ missed }) => missed),
    ],
    [
      'dcs_io_node_dropped_total',
      'counter',
      'messages not sent because a node does not take them',
      nodeSamples(others, ({ dropped }) => dropped),
    ],
    [
      'dcs_io_actor_errors_total',
      'counter',
      'what handlers of actors threw',
      status.actors.map(({ name, errors }) => sample(errors, { actor: name })),
    ],
    [
      'dcs_io_actor_restarts_total',
      'counter',
      'actors started anew',
      status.actors.map(({ name, restarts }) => sample(restarts, { actor: name })),
    ],
    ['dcs_io_web_connections', 'gauge', 'WebSockets and event streams that are open', samplesOf(connections, 'kind')],
    ['dcs_io_web_total', 'counter', 'what the web layer counts', samplesOf(counted, 'what')],
    [
      'dcs_io_event_loop_delay_seconds',
      'gauge',
      'how late timers are, of the last 10 to 20 s',
      [
        sample(loop.p50_ms / 1000, { quantile: '0.5' }),
        sample(loop.p99_ms / 1000, { quantile: '0.99' }),
        sample(loop.max_ms / 1000, { quantile: '1' }),
      ],
    ],
    ['process_resident_memory_bytes', 'gauge', 'memory of the process', [sample(status.memory)]],
  ];
  return families.flatMap((family) => (family[3].length > 0 ? [formatFamily(...family)] : [])).join('');
}

function formatFamily(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(({ labels, value }) => `${name}${formatLabels(labels)} ${value}`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function sample(value: number, labels: Readonly<Record<string, string>> = {}): Sample {
  return { labels, value };
}

function samplesOf(counters: Readonly<Record<string, number>>, label: string): Sample[] {
  return Object.entries(counters).map(([key, value]) => sample(value, { [label]: key }));
}

/** By the name of the node, under which it comes back with another id. */
function nodeSamples(nodes: Status['nodes'], value: (node: Status['nodes'][number]) => number): Sample[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  return [...byName].map(([name, node]) => sample(value(node), { node: name }));
}

function portMetric(ports: Status['ports'], key: string, per: number): Sample[] {
  return ports.flatMap(({ name, metrics }) => {
    const value = metrics[key];
    return value === undefined ? [] : [sample(value / per, { port: name })];
  });
}

function qualitySamples(pins: readonly PinState[]): Sample[] {
  return [...qualities, 'unknown'].map((quality) =>
    sample(pins.filter((pin) => (pin.quality ?? 'unknown') === quality).length, { quality }),
  );
}

function valueSamples(pins: readonly PinState[]): Sample[] {
  return pins.flatMap(({ name, val, quality, uom = '' }) => {
    if (quality === 'bad' || (typeof val !== 'number' && typeof val !== 'boolean')) return [];
    return [sample(Number(val), { pin: name, unit: uom })];
  });
}
