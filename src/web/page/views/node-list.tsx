import type { NodeStatus } from '../../api/schemas.ts';
import { plural, showAge } from '../format.ts';

const states: Readonly<Record<NodeStatus['state'], string>> = {
  here: 'this one',
  linked: 'linked',
  relayed: 'through others',
  lost: 'lost',
  v1: 'aktos-dcs v1',
};

/** Every process on the bus: how it is linked, since when, when it was last heard, and what got lost on the way. */
export function NodeList({ nodes }: { nodes: readonly NodeStatus[] }) {
  return (
    <ul class="nodes">
      {nodes.map((node) => (
        <Node key={node.id} node={node} />
      ))}
    </ul>
  );
}

function Node({ node }: { node: NodeStatus }) {
  const { name, state, pins, addresses, silent, since, encrypted, round_trip_ms: trip, missed, dropped } = node;
  return (
    <li class={`is-${state}`}>
      <div class="node-head">
        <strong>{name}</strong>
        <span class="state">{states[state]}</span>
      </div>
      <p class="node-facts">
        {state === 'linked' && since !== undefined && <span>for {showAge(since)}</span>}
        {state === 'lost' && since !== undefined && <span class="is-bad">since {showAge(since)}</span>}
        {state !== 'here' && <span>heard {silent < 1 ? 'now' : `${showAge(silent)} ago`}</span>}
        {trip !== undefined && <span>{trip.toFixed(1)} ms there and back</span>}
        {encrypted !== undefined && <span>{encrypted ? 'encrypted' : 'not encrypted'}</span>}
        {state !== 'v1' && <span>{plural(pins, 'pin')}</span>}
        {missed > 0 && <span class="is-bad">{plural(missed, 'message')} of it lost</span>}
        {dropped > 0 && <span class="is-bad">{plural(dropped, 'message')} to it dropped</span>}
        {addresses.length > 0 && <small>{addresses.join(', ')}</small>}
      </p>
    </li>
  );
}
