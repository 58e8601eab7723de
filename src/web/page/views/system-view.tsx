import type { Status } from '../../api/schemas.ts';
import { plural, showAge } from '../format.ts';
import { useStatus } from '../state/status.ts';
import { MeshGraph } from './mesh-graph.tsx';
import { NodeList } from './node-list.tsx';

/** The hardware, the nodes of the bus, and the agent itself. */
export function SystemView() {
  const status = useStatus();
  return (
    <>
      <div class="toolbar">
        <h2>System</h2>
      </div>
      {status === undefined ? <p class="nothing">Asking the agent…</p> : <Parts status={status} />}
    </>
  );
}

function Parts({ status }: { status: Status }) {
  return (
    <div class="panels">
      <section class="panel wide" aria-labelledby="ports">
        <h3 id="ports">Ports</h3>
        <ul class="ports">
          {status.ports.map((port) => (
            <Port key={port.name} port={port} />
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

function Port({ port: { name, driver, state, reason, metrics, counters } }: { port: Status['ports'][number] }) {
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

/** Those that have counted something; zeros say nothing. */
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
