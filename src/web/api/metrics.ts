import { Counter, Gauge, Registry } from 'prom-client';
import { qualities } from '../../message/payloads.ts';
import type { PinState, Status } from './schemas.ts';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric with all its time series. A family without samples is left out of the text. */
interface MetricFamily {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/**
 * The agent in the Prometheus text format 0.0.4. By the Prometheus conventions, times are in seconds and ratios from 0 to 1.
 * A pin of bad quality has no value.
 */
export function metricsText(status: Status, pins: readonly PinState[]): Promise<string> {
  const registry = new Registry();
  const families = [
    ...agentMetrics(status),
    ...pinMetrics(pins),
    ...portMetrics(status.ports),
    ...messageMetrics(status),
    ...nodeMetrics(status.nodes),
    ...actorMetrics(status.actors),
    ...webMetrics(status.web),
  ];
  for (const family of families) if (family.samples.length > 0) register(family, registry);
  return registry.metrics();
}

function register({ name, type, help, samples }: MetricFamily, registry: Registry): void {
  const options = { name, help, labelNames: Object.keys(samples[0]?.labels ?? {}), registers: [registry] };
  if (type === 'gauge') {
    const metric = new Gauge(options);
    for (const { labels, value } of samples) metric.set(labels, value);
  } else {
    const metric = new Counter(options);
    for (const { labels, value } of samples) metric.inc(labels, value);
  }
}

function agentMetrics({ node, version, uptime, memory, event_loop: loop }: Status): MetricFamily[] {
  return [
    gauge('dcs_io_info', 'always 1', [sample(1, { node, version })]),
    gauge('dcs_io_uptime_seconds', 'since the web server started', [sample(uptime)]),
    gauge('dcs_io_event_loop_delay_seconds', 'event-loop delay in the last 10 to 20 s', [
      sample(loop.p50_ms / 1000, { quantile: '0.5' }),
      sample(loop.p99_ms / 1000, { quantile: '0.99' }),
      sample(loop.max_ms / 1000, { quantile: '1' }),
    ]),
    gauge('process_resident_memory_bytes', 'resident memory of the process', [sample(memory)]),
  ];
}

function pinMetrics(pins: readonly PinState[]): MetricFamily[] {
  const byQuality = [...qualities, 'unknown'].map((quality) =>
    sample(pins.filter((pin) => (pin.quality ?? 'unknown') === quality).length, { quality }),
  );
  const values = pins.flatMap(({ name, val, quality, uom = '' }) => {
    if (quality === 'bad' || (typeof val !== 'number' && typeof val !== 'boolean')) return [];
    return [sample(Number(val), { pin: name, unit: uom })];
  });
  return [
    gauge('dcs_io_pins', 'pins on the bus by quality', byQuality),
    gauge('dcs_io_pin_value', 'last value; digital 0 or 1; absent while the quality is bad', values),
  ];
}

function portMetrics(ports: Status['ports']): MetricFamily[] {
  /** `divisor` converts the port's unit into that of Prometheus. */
  const fromPorts = (key: string, divisor: number): Sample[] =>
    ports.flatMap(({ name, metrics }) => {
      const value = metrics[key];
      return value === undefined ? [] : [sample(value / divisor, { port: name })];
    });
  const up = ports.map(({ name, driver, state }) => sample(Number(state === 'open'), { port: name, driver }));
  const events = ports.flatMap(({ name, counters }) =>
    Object.entries(counters).map(([event, value]) => sample(value, { port: name, event })),
  );
  return [
    gauge('dcs_io_port_up', '1: the port is open', up),
    gauge('dcs_io_port_utilisation_ratio', 'share of time the bus is busy', fromPorts('utilisation', 1)),
    gauge('dcs_io_port_round_trip_p50_seconds', 'median round-trip time', fromPorts('round_trip_p50_ms', 1000)),
    gauge('dcs_io_port_round_trip_p99_seconds', '99 % round-trip time', fromPorts('round_trip_p99_ms', 1000)),
    gauge('dcs_io_port_units_off_line', 'devices of the bus that do not answer', fromPorts('units_off_line', 1)),
    counter('dcs_io_port_events_total', 'errors, drops and other events that a port counts', events),
  ];
}

function messageMetrics({ bus, mesh, nodes }: Status): MetricFamily[] {
  const peers = nodes.filter(({ state }) => state === 'linked').length;
  return [
    counter('dcs_io_bus_messages_total', 'messages of the local bus by outcome', samplesOf(bus, 'what')),
    counter('dcs_io_mesh_messages_total', 'messages between processes by outcome', samplesOf(mesh, 'what')),
    gauge('dcs_io_mesh_peers', 'directly connected nodes', [sample(peers)]),
  ];
}

function nodeMetrics(nodes: Status['nodes']): MetricFamily[] {
  const others = nodes.filter(({ state, pins }) => state !== 'here' && state !== 'v1' && pins > 0);
  // One series for each name: a restarted node has the same name and another id.
  const byName = [...new Map(others.map((node) => [node.name, node]))];
  const fromNodes = (value: (node: Status['nodes'][number]) => number): Sample[] =>
    byName.map(([name, node]) => sample(value(node), { node: name }));
  const up = fromNodes(({ state }) => Number(state !== 'lost'));
  const missed = fromNodes((node) => node.missed);
  const dropped = fromNodes((node) => node.dropped);
  return [
    gauge('dcs_io_node_up', '1: the node is up, 0: it is gone', up),
    counter('dcs_io_node_missed_total', 'messages of a node that were lost', missed),
    counter('dcs_io_node_dropped_total', 'messages dropped because a node does not accept them', dropped),
  ];
}

function actorMetrics(actors: Status['actors']): MetricFamily[] {
  const errors = actors.map((actor) => sample(actor.errors, { actor: actor.name }));
  const restarts = actors.map((actor) => sample(actor.restarts, { actor: actor.name }));
  return [
    counter('dcs_io_actor_errors_total', 'errors thrown by handlers of actors', errors),
    counter('dcs_io_actor_restarts_total', 'restarts of actors', restarts),
  ];
}

function webMetrics({ sockets = 0, streams = 0, ...counters }: Status['web']): MetricFamily[] {
  return [
    gauge('dcs_io_web_connections', 'open WebSockets and event streams', samplesOf({ sockets, streams }, 'kind')),
    counter('dcs_io_web_total', 'events that the web server counts', samplesOf(counters, 'what')),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'counter', help, samples };
}

function sample(value: number, labels: Readonly<Record<string, string>> = {}): Sample {
  return { labels, value };
}

function samplesOf(counters: Readonly<Record<string, number>>, label: string): Sample[] {
  return Object.entries(counters).map(([key, value]) => sample(value, { [label]: key }));
}
