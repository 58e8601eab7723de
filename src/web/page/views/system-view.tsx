import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { NodeStatus, Status } from '../../api/schemas.ts';
import { plural, showAge } from '../format.ts';
import { callApi } from '../state/api.ts';

/** The ports, the nodes of the bus, and the agent. */
export function SystemView() {
  const status = useStatus();
  return (
    <>
      <div class="toolbar">
        <h2>System</h2>
      </div>
      {status === undefined ? <p class="nothing">Asking the agent…</p> : <StatusPanels status={status} />}
    </>
  );
}

function StatusPanels({ status }: { status: Status }) {
  return (
    <div class="panels">
      <section class="panel wide" aria-labelledby="ports">
        <h3 id="ports">Ports</h3>
        <ul class="ports">
          {status.ports.map((port) => (
            <PortItem key={port.name} port={port} />
          ))}
        </ul>
      </section>
      <section class="panel" aria-labelledby="nodes">
        <h3 id="nodes">Nodes</h3>
        <MeshGraph nodes={status.nodes} />
        <NodeList nodes={status.nodes} />
      </section>
      <section class="panel" aria-labelledby="agent">
        <h3 id="agent">Agent</h3>
        <dl class="facts">
          <Fact name="Version" value={status.version} />
          <Fact name="Running for" value={showAge(status.uptime)} />
          <Fact name="Memory" value={`${(status.memory / 1e6).toFixed(0)} MB`} />
          <Fact name="Event loop, 99 % below" value={`${status.event_loop.p99_ms.toFixed(1)} ms`} />
          <Fact name="Address broker here" value={status.broker ? 'yes' : 'no'} />
          <Fact name="Browsers connected" value={status.web['sockets'] ?? 0} />
        </dl>
        <Counters title="Local bus" counters={status.bus} />
        <Counters title="Between processes" counters={status.mesh} />
        {status.actors.length > 0 && (
          <Counters
            title="Actors that failed"
            counters={Object.fromEntries(status.actors.map((one) => [one.name, one.errors]))}
          />
        )}
      </section>
    </div>
  );
}

function PortItem({ port: { name, driver, state, reason, metrics, counters } }: { port: Status['ports'][number] }) {
  const { utilisation, round_trip_p99_ms: slow, units_off_line: away } = metrics;
  return (
    <li class={`port is-${state}`}>
      <div class="port-head">
        <strong>{name}</strong> <small>{driver}</small>
        <span class="state">{state}</span>
      </div>
      {reason !== undefined && <p class={`note ${state === 'skipped' ? '' : 'is-bad'}`}>{reason}</p>}
      {utilisation !== undefined && <Meter label="bus in use" share={utilisation} />}
      {slow !== undefined && <span class="figure">round trip below {slow.toFixed(0)} ms (99 %)</span>}
      {away !== undefined && away > 0 && <span class="figure is-bad">{plural(away, 'device')} do not answer</span>}
      <ul class="counters">
        {Object.entries(counters).map(([event, count]) => (
          <li key={event}>
            {event.replaceAll('_', ' ')} <b>{count}</b>
          </li>
        ))}
      </ul>
    </li>
  );
}

function Meter({ label, share }: { label: string; share: number }) {
  const text = `${Math.round(share * 100)} %`;
  return (
    <div class="meter">
      <span>{label}</span>
      <meter min={0} max={1} low={0.7} high={0.9} optimum={0} value={share} aria-label={label}>
        {text}
      </meter>
      <b>{text}</b>
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string | number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** A list of counters without those at zero. */
function Counters({ title, counters }: { title: string; counters: Readonly<Record<string, number>> }) {
  const counted = Object.entries(counters).filter(([, count]) => count > 0);
  if (counted.length === 0) return null;
  return (
    <>
      <h4>{title}</h4>
      <ul class="counters">
        {counted.map(([what, count]) => (
          <li key={what}>
            {what.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} <b>{count.toLocaleString('en')}</b>
          </li>
        ))}
      </ul>
    </>
  );
}

const stateLabels: Readonly<Record<NodeStatus['state'], string>> = {
  here: 'this one',
  linked: 'linked',
  relayed: 'through others',
  lost: 'lost',
  v1: 'aktos-dcs v1',
};

/** Every process on the bus: its connection, its last message, and how many messages were lost. */
function NodeList({ nodes }: { nodes: readonly NodeStatus[] }) {
  return (
    <ul class="nodes">
      {nodes.map((node) => (
        <NodeItem key={node.id} node={node} />
      ))}
    </ul>
  );
}

function NodeItem({ node }: { node: NodeStatus }) {
  const { name, state, pins, addresses, silent, since, encrypted, round_trip_ms: trip, missed, dropped } = node;
  return (
    <li class={`is-${state}`}>
      <div class="node-head">
        <strong>{name}</strong>
        <span class="state">{stateLabels[state]}</span>
      </div>
      <p class="node-facts">
        {state === 'linked' && since !== undefined && <span>for {showAge(since)}</span>}
        {state === 'lost' && since !== undefined && <span class="is-bad">since {showAge(since)}</span>}
        {state !== 'here' && <span>heard {silent < 1 ? 'now' : `${showAge(silent)} ago`}</span>}
        {trip !== undefined && <span>{trip.toFixed(1)} ms round trip</span>}
        {encrypted !== undefined && <span>{encrypted ? 'encrypted' : 'not encrypted'}</span>}
        {state !== 'v1' && <span>{plural(pins, 'pin')}</span>}
        {missed > 0 && <span class="is-bad">{plural(missed, 'message')} lost</span>}
        {dropped > 0 && <span class="is-bad">{plural(dropped, 'message')} dropped</span>}
        {addresses.length > 0 && <small>{addresses.join(', ')}</small>}
      </p>
    </li>
  );
}

const WIDTH = 320;
const HEIGHT = 190;
const RADIUS = 9;
/** Limit of nodes in the graph: more would be unreadable. The list shows all. */
const MAX_NODES = 10;

/** A graph with this node in the middle and a line to each directly connected node. The list has the same facts as text. */
function MeshGraph({ nodes }: { nodes: Status['nodes'] }) {
  const others = nodes.filter(({ state }) => state !== 'here');
  if (others.length === 0 || others.length > MAX_NODES) return null;
  const [x, y] = [WIDTH / 2, HEIGHT / 2];
  const placed = others.map((node, at) => {
    const turn = (2 * Math.PI * at) / others.length + Math.PI;
    return { node, x: x + (WIDTH / 2 - 60) * Math.cos(turn), y: y + (HEIGHT / 2 - 32) * Math.sin(turn) };
  });
  return (
    <svg class="mesh" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      {placed.map(({ node, ...to }) => (
        <line key={node.id} x1={x} y1={y} x2={to.x} y2={to.y} class={`is-${node.state}`} />
      ))}
      {placed.map(({ node, ...at }) => (
        <g key={node.id} class={`is-${node.state}`}>
          <circle cx={at.x} cy={at.y} r={RADIUS} />
          <text x={at.x} y={at.y + RADIUS + 14}>
            {node.name}
          </text>
        </g>
      ))}
      <circle class="here" cx={x} cy={y} r={RADIUS + 3} />
      <text x={x} y={y + RADIUS + 17}>
        {nodes.find(({ state }) => state === 'here')?.name}
      </text>
    </svg>
  );
}

const REFRESH_MS = 2000;

/** Status of the agent; `undefined` until the first answer. */
export const status = signal<Status | undefined>(undefined);

/** Refreshes the status while a component that uses it is mounted. */
function useStatus(): Status | undefined {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    const ask = async () => {
      try {
        if (!document.hidden) status.value = await callApi<Status>('GET', '/api/status');
      } catch {
        // The connection state shows the error; the last status stays.
      }
      if (!ended) timer = setTimeout(() => void ask(), REFRESH_MS);
    };
    void ask();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);
  return status.value;
}
